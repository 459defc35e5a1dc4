#include "convert/build_fp8.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <unordered_map>

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "convert/atomic_output.h"
#include "convert/fp8_documents.h"
#include "convert/fp8_plan.h"
#include "convert/fp8_source.h"
#include "convert/paths.h"
#include "convert/side_files.h"
#include "quant/fp8.h"

namespace ditq {
namespace {

void check_flags(const BuildFp8Request& request) {
  const auto maxbound = static_cast<float>(request.maxbound);
  if (!std::isfinite(maxbound) || maxbound <= 0.0f) {
    throw Error(
        ErrorCode::usage, "--maxbound cannot be",
        {.expected = "a finite number above zero", .found = fmt::format("{}", request.maxbound)});
  }
  choose_profile(request, "", nullptr);
}

// Reads, quantizes and writes a weight piece by piece.
class WeightQuantizer {
 public:
  WeightQuantizer(SafetensorsWriter& writer, ProgressBar& progress)
      : writer_(writer), progress_(progress), source_(kPieceElements * 4), codes_(kPieceElements) {}

  void write(const TensorInfo& weight, float scale) {
    const std::uint64_t width = bits(weight.dtype) / 8;
    const std::uint64_t elements = weight.elements();
    for (std::uint64_t begin = 0; begin < elements; begin += kPieceElements) {
      check_interrupt();
      const auto count = static_cast<std::size_t>(std::min(kPieceElements, elements - begin));
      const std::span<std::byte> bytes(source_.data(), count * width);
      weight.file->read(weight.offset + begin * width, bytes);
      const std::span<std::uint8_t> codes(codes_.data(), count);
      if (quantize_e4m3(weight.dtype, bytes, scale, codes) != 0) raise_nan(weight, scale);
      writer_.write(std::as_bytes(codes));
      progress_.advance(count);
    }
  }

 private:
  static constexpr std::uint64_t kPieceElements = std::uint64_t{1} << 21;

  [[noreturn]] static void raise_nan(const TensorInfo& weight, float scale) {
    throw Error(ErrorCode::not_a_number,
                "a value exceeds its layer's amax so far that E4M3 has no number for it",
                {.path = weight.file->path(),
                 .tensor = weight.name,
                 .expected = fmt::format("magnitudes up to 464 times the scale {}, {}", scale,
                                         464.0f * scale),
                 .found = "a larger one, or NaN",
                 .advice = "The checkpoint's amax are not this weight's: use the checkpoint saved "
                           "with this export"});
  }

  SafetensorsWriter& writer_;
  ProgressBar& progress_;
  std::vector<std::byte> source_;
  std::vector<std::uint8_t> codes_;
};

void write_shard(const PlannedShard& shard, const std::string& folder, ProgressBar& progress) {
  std::vector<TensorToWrite> targets;
  std::unordered_map<std::string, const PlannedTensor*> by_name;
  for (const PlannedTensor& tensor : shard.tensors) {
    targets.push_back(tensor.target);
    by_name.emplace(tensor.target.name, &tensor);
  }
  const std::string path = (std::filesystem::path(folder) / shard.name).string();
  SafetensorsWriter writer(path, std::move(targets), shard.metadata);
  WeightQuantizer quantizer(writer, progress);
  for (const TensorToWrite& next : writer.order()) {
    check_interrupt();
    const PlannedTensor& tensor = *by_name.at(next.name);
    if (tensor.quantize != nullptr) {
      quantizer.write(*tensor.quantize, tensor.scale);
      continue;
    }
    if (tensor.is_scale) {
      writer.write(std::as_bytes(std::span(&tensor.scale, 1)));
    } else {
      writer.copy(*tensor.copy_of);
    }
    progress.advance(next.size);
  }
  writer.close();
}

void report(const BuildFp8Request& request,
            const Fp8Profile& profile,
            const BuildFp8Statistics& statistics) {
  const std::string patterns =
      profile.family == nullptr ? "no profile" : profile.family->title + " profile";
  log_info(fmt::format("wrote {}: {} FP8 weights, {} kept in BF16 ({}), {} unchanged, {} shard{}",
                       request.output_dir, statistics.quantized_weights,
                       statistics.bf16_fallback_weights, patterns,
                       statistics.preserved_ignored_weights, statistics.output_shards,
                       statistics.output_shards == 1 ? "" : "s"));
}

}  // namespace

BuildFp8Statistics build_fp8(const BuildFp8Request& request) {
  check_flags(request);
  const std::string target = resolve_output_dir(request.output_dir);
  Fp8Profile profile;
  const Fp8Source source = open_fp8_source(request, profile);
  check_overlap(target, source.inputs);
  check_target(target, request.overwrite);
  Fp8Plan plan = plan_fp8(request, source, profile);
  const Fp8Documents documents = make_fp8_documents(source, plan);
  const auto side_files = list_side_files(source.folder, {"config.json", documents.index_name});
  check_free_space(target, plan.output_bytes + total_size(side_files));

  AtomicOutput output(target, request.overwrite);
  copy_side_files(side_files, output.folder());
  ProgressBar progress("converting", plan.output_bytes, "B");
  for (const PlannedShard& shard : plan.shards) write_shard(shard, output.folder(), progress);
  progress.finish();
  write_document(output.folder(), documents.index_name, documents.index);
  write_document(output.folder(), "config.json",
                 dump_json(documents.config, {.indent = 2, .sort_keys = true}));
  check_interrupt();
  output.commit();
  report(request, profile, plan.statistics);
  return plan.statistics;
}

std::string to_json_text(const BuildFp8Statistics& statistics) {
  Json json = Json::object();
  json["added_scale_tensors"] = statistics.added_scale_tensors;
  json["bf16_fallback_weights"] = statistics.bf16_fallback_weights;
  json["output_shards"] = statistics.output_shards;
  json["preserved_ignored_weights"] = statistics.preserved_ignored_weights;
  json["quantized_weights"] = statistics.quantized_weights;
  return dump_json(json, {.indent = 2, .sort_keys = true});
}

}  // namespace ditq
