#include "pipeline/attention_backend.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cuda_device.h"

namespace ditq {
namespace {

/// Names of attention backends that other engines have, refused by name.
constexpr std::array<std::string_view, 9> kOthers = {
    "fa",         "fa2",   "sage_attn", "sage_attn_3", "sliding_tile_attn", "video_sparse_attn",
    "vmoba_attn", "aiter", "flashinfer"};

constexpr const char* kRangeForm = "FIRST:LAST as Python's slices, such as 1:-1, 2: or :";

/// An integer, or `absent` for no text. Errors: usage.
std::int64_t bound(std::string_view text, std::int64_t absent, const std::string& whole) {
  std::int64_t value = absent;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (!text.empty() && (error != std::errc() || stop != end)) {
    throw Error(ErrorCode::usage, "--fp8-attention-steps: not a range of steps",
                {.expected = kRangeForm, .found = "'" + whole + "'"});
  }
  return value;
}

}  // namespace

StepRange StepRange::parse(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) {
    throw Error(ErrorCode::usage, "--fp8-attention-steps: not a range of steps",
                {.expected = kRangeForm, .found = "'" + text + "'"});
  }
  const std::string_view all = text;
  return {.first = bound(all.substr(0, colon), 0, text),
          .last = bound(all.substr(colon + 1), 0, text),
          .open = colon + 1 == text.size()};
}

bool StepRange::contains(std::int64_t index, std::int64_t count) const {
  const auto from_start = [count](std::int64_t step) { return step < 0 ? step + count : step; };
  return index >= from_start(first) && (open || index < from_start(last));
}

AttentionBackend choose_attention_backend(const RunOptions& options, const at::Device& device) {
  const bool gpu = device.is_cuda();
  AttentionBackend out{.plain = gpu && cuda().info().major >= 9 ? "cudnn" : "torch_sdpa",
                       .steps = StepRange::parse(options.fp8_attention_steps),
                       .range = options.fp8_attention_steps,
                       .kernel = gpu ? "cudnn" : "cpu_emulation"};
  const std::string& name = options.attention_backend;
  if (name == "fp8") {
    out.fp8 = true;
    return out;
  }
  if (name.empty() || name == "auto" || name == out.plain) return out;
  const bool known = name == "cudnn" || name == "torch_sdpa" ||
                     std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end();
  const std::string expected = fmt::format("auto, fp8 or {}", out.plain);
  if (!known) {
    throw Error(ErrorCode::usage, "unknown --attention-backend",
                {.expected = expected, .found = "'" + name + "'"});
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("--attention-backend {} does not run on this device", name),
              {.expected = expected, .found = "'" + name + "'"});
}

Json fp8_attention_json(const AttentionBackend& backend, std::size_t steps) {
  if (!backend.fp8) return nullptr;
  const auto count = static_cast<std::int64_t>(steps);
  std::int64_t covered = 0;
  for (std::int64_t i = 0; i < count; ++i) covered += backend.steps.contains(i, count) ? 1 : 0;
  return {{"kernel", backend.kernel},
          {"arithmetic", backend.kernel == "cudnn" ? "real" : "emulated"},
          {"steps", backend.range},
          {"steps_run", covered},
          {"other_steps", backend.plain}};
}

}  // namespace ditq
