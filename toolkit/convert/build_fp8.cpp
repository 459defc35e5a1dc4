#include "convert/build_fp8.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "convert/atomic_output.h"
#include "convert/fp8_documents.h"
#include "convert/fp8_plan.h"
#include "convert/fp8_source.h"
#include "convert/paths.h"
#include "convert/write_output.h"

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

void report(const BuildFp8Request& request,
            const Fp8Profile& profile,
            const BuildFp8Statistics& statistics,
            const OutputReport& output) {
  const std::string patterns =
      profile.family == nullptr ? "no profile" : profile.family->title + " profile";
  log_info(fmt::format(
      "wrote {}: {} FP8 weights, {} kept in BF16 ({}), {} unchanged, {} shard{}; {}",
      request.output_dir, statistics.quantized_weights, statistics.bf16_fallback_weights, patterns,
      statistics.preserved_ignored_weights, statistics.output_shards,
      statistics.output_shards == 1 ? "" : "s", output.text()));
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
  const OutputPlan output{
      .shards = std::move(plan.shards),
      .side_files = list_side_files(source.folder, {"config.json", documents.index_name}),
      .documents = {
          {documents.index_name, documents.index},
          {"config.json", dump_json(documents.config, {.indent = 2, .sort_keys = true})}}};
  const OutputReport done = write_output(
      output, {.target = target, .overwrite = request.overwrite, .limits = request.limits});
  report(request, profile, plan.statistics, done);
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
