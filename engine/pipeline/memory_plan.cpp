#include "pipeline/memory_plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "kernels/cuda_device.h"

namespace ditq {
namespace {

/// Rows of D values that a step keeps for each token: the tokens, their norm (1), queries, keys and values (3), attention
/// (1), the inner values (4) beside those of the block's output (5) and the output (1); the residual's update waits for
/// the next block (1).
constexpr double kRowsPerToken = 17;

/// Pictures of the widest last layers that a decoder's layer has at once: input, norm, both in another order of memory,
/// output, and what cuDNN works in.
constexpr double kPicturesAtOnce = 6;

/// What the VAE's largest layer takes of memory, in bytes.
double decoding_bytes(const AutoencoderKlConfig& vae, const PictureSize& size, double element) {
  const auto& channels = vae.block_out_channels;
  const auto widest = static_cast<double>(channels[std::min<std::size_t>(1, channels.size() - 1)]);
  const auto layer = [&](std::int64_t height, std::int64_t width) {
    return static_cast<double>(height * width) * widest * element * kPicturesAtOnce;
  };
  if (!size.tiled) return layer(size.height, size.width);
  const std::int64_t side = vae.tile_latent_side() * vae.scale();
  // The picture and two rows of tiles stay beside the tile at hand.
  const auto colours = static_cast<double>(vae.out_channels) * element;
  const auto kept = static_cast<double>(size.height + 4 * side) * static_cast<double>(size.width);
  return layer(std::min(side, size.height), std::min(side, size.width)) + kept * colours;
}

/// Bytes that a run may take: what the allocator keeps is ours to use.
std::size_t available_bytes() {
  const CudaMemory memory = cuda().memory();
  return memory.free + memory.reserved;
}

std::string gib(std::size_t bytes) {
  return fmt::format("{:.2f}", static_cast<double>(bytes) / (1 << 30));
}

}  // namespace

MemoryPlan plan_memory(std::size_t weights,
                       const Flux1Dims& dims,
                       const AutoencoderKlConfig& vae,
                       const PictureSize& size,
                       at::ScalarType dtype) {
  const auto element = static_cast<double>(c10::elementSize(dtype));
  const auto hidden = static_cast<double>(dims.hidden());
  const auto tokens = static_cast<double>(size.text_tokens + size.image_tokens);
  // Shifts, scales and gates of all blocks at every step: 6 D twice, 3 D, and 2 D at the end.
  const auto modulations =
      static_cast<double>(size.steps * (12 * dims.num_layers + 3 * dims.num_single_layers + 2));
  // The largest weights, D x 4 D, of both streams at a time; the blocks' outputs do not fit into what they leave.
  const double expanded = size.expands_weights ? 2 * 5 * hidden * hidden * element : 0;
  return {.weights = weights,
          .steps = static_cast<std::size_t>(
              (tokens * kRowsPerToken + modulations) * hidden * element + expanded),
          .decoding = static_cast<std::size_t>(decoding_bytes(vae, size, element))};
}

bool fits(const MemoryPlan& plan) {
  return plan.total() <= available_bytes();
}

void check_memory(const MemoryPlan& plan, bool announce) {
  const std::size_t available = available_bytes();
  if (announce) {
    log_info(fmt::format("memory: {} GiB weights + {} steps + {} decoding = {} of {} GiB",
                         gib(plan.weights), gib(plan.steps), gib(plan.decoding), gib(plan.total()),
                         gib(available)));
  }
  if (plan.total() <= available) return;
  throw Error(ErrorCode::out_of_memory, "the run does not fit into the GPU's memory",
              {.expected = gib(plan.total()) + " GiB",
               .found = gib(available) + " GiB",
               .advice = "A smaller --height and --width, --vae-tiling true, an FP8 transformer as "
                         "--transformer-path, or --device cpu"});
}

void report_memory(const MemoryPlan& plan) {
  const CudaMemory memory = cuda().memory();
  log_verbose(fmt::format("memory: peak {} GiB ({} in tensors), planned {}",
                          gib(memory.peak_reserved), gib(memory.peak_allocated),
                          gib(plan.total())));
}

}  // namespace ditq
