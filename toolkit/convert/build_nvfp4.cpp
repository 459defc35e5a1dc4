#include "convert/build_nvfp4.h"

#include <filesystem>
#include <unordered_map>

#include <fmt/format.h>

#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "convert/atomic_output.h"
#include "convert/nvfp4_plan.h"
#include "convert/nvfp4_source.h"
#include "convert/paths.h"
#include "convert/side_files.h"

namespace ditq {
namespace {

void write_shard(const Nvfp4Shard& shard, const std::string& folder, ProgressBar& progress) {
  std::vector<TensorToWrite> targets;
  std::unordered_map<std::string, const TensorInfo*> by_name;
  for (const TensorInfo* tensor : shard.tensors) {
    targets.push_back({tensor->name, tensor->dtype, tensor->shape, tensor->size});
    by_name.emplace(tensor->name, tensor);
  }
  const std::string path = (std::filesystem::path(folder) / shard.name).string();
  SafetensorsWriter writer(path, std::move(targets), shard.metadata);
  for (const TensorToWrite& next : writer.order()) {
    check_interrupt();
    writer.copy(*by_name.at(next.name));
    progress.advance(next.size);
  }
  writer.close();
}

}  // namespace

BuildNvfp4Statistics build_nvfp4(const BuildNvfp4Request& request) {
  const std::vector<KeepPattern> patterns = compile_keep_patterns(request);
  const std::string target = resolve_output_dir(request.output_dir);
  const Nvfp4Source source = open_nvfp4_source(request);
  check_overlap(target, source.inputs);
  check_target(target, request.overwrite);
  const Nvfp4Plan plan = plan_nvfp4(request, source, patterns);
  const auto side_files = list_side_files(source.folder, {"config.json", plan.index_name});
  check_free_space(target, plan.output_bytes + total_size(side_files));

  AtomicOutput output(target, request.overwrite);
  copy_side_files(side_files, output.folder());
  ProgressBar progress("converting", plan.output_bytes, "B");
  for (const Nvfp4Shard& shard : plan.shards) write_shard(shard, output.folder(), progress);
  progress.finish();
  write_document(output.folder(), plan.index_name, plan.index);
  write_document(output.folder(), "config.json", plan.config);
  check_interrupt();
  output.commit();
  const BuildNvfp4Statistics& done = plan.statistics;
  log_info(
      fmt::format("wrote {}: {} modules in BF16 from the base, {} tensors left out, {} shard{}",
                  request.output_dir, done.fallback_modules, done.removed_aux_tensors,
                  done.output_shards, done.output_shards == 1 ? "" : "s"));
  return done;
}

std::string to_json_text(const BuildNvfp4Statistics& statistics) {
  Json json = Json::object();
  json["fallback_modules"] = statistics.fallback_modules;
  json["output_shards"] = statistics.output_shards;
  json["removed_aux_tensors"] = statistics.removed_aux_tensors;
  json["replaced_tensors"] = statistics.replaced_tensors;
  json["swap_weight_nibbles"] = statistics.swap_weight_nibbles;
  return dump_json(json, {.indent = 2, .sort_keys = true});
}

}  // namespace ditq
