#include "convert/build_nvfp4.h"

#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "base/log.h"
#include "convert/atomic_output.h"
#include "convert/nvfp4_plan.h"
#include "convert/nvfp4_source.h"
#include "convert/paths.h"
#include "convert/write_output.h"

namespace ditq {
BuildNvfp4Statistics build_nvfp4(const BuildNvfp4Request& request) {
  const std::vector<KeepPattern> patterns = compile_keep_patterns(request);
  const std::string target = resolve_output_dir(request.output_dir);
  const Nvfp4Source source = open_nvfp4_source(request);
  check_overlap(target, source.inputs);
  check_target(target, request.overwrite);
  Nvfp4Plan plan = plan_nvfp4(request, source, patterns);
  const OutputPlan output{
      .shards = std::move(plan.shards),
      .side_files = list_side_files(source.folder, {"config.json", plan.index_name}),
      .documents = {{plan.index_name, plan.index}, {"config.json", plan.config}}};
  const OutputReport written = write_output(
      output, {.target = target, .overwrite = request.overwrite, .limits = request.limits});
  const BuildNvfp4Statistics& done = plan.statistics;
  log_info(
      fmt::format("wrote {}: {} modules in BF16 from the base, {} tensors left out, {} shard{}; {}",
                  request.output_dir, done.fallback_modules, done.removed_aux_tensors,
                  done.output_shards, done.output_shards == 1 ? "" : "s", written.text()));
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
