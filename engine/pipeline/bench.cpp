#include "pipeline/bench.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <malloc.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "kernels/cuda_device.h"
#include "perf/bench_report.h"
#include "perf/fairness.h"
#include "pipeline/components.h"
#include "pipeline/generate.h"
#include "pipeline/machine_state.h"
#include "pipeline/output_place.h"
#include "pipeline/perf.h"
#include "pipeline/pipeline.h"
#include "pipeline/versions.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using Side = BenchSideName;

const char* side_name(Side side) {
  return side == Side::reference ? "reference" : "candidate";
}

void require_counts(const BenchRequest& request) {
  const auto at_least = [](const char* flag, std::int64_t value, std::int64_t least) {
    if (value >= least) return;
    throw Error(ErrorCode::usage, fmt::format("{} is out of range", flag),
                {.expected = fmt::format("at least {}", least), .found = std::to_string(value)});
  };
  at_least("--rounds", request.rounds, 1);
  at_least("--warmup-runs", request.warmup_runs, 0);
  at_least("--measure-runs", request.measure_runs, 1);
  const std::size_t prompts = request.generate.prompts.size();
  if (prompts != 1) {
    throw Error(ErrorCode::usage, "a benchmark runs one prompt",
                {.expected = "one --prompt", .found = std::to_string(prompts)});
  }
}

Json sources_document(const PipelineSources& sources) {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
  };
  return {{"model_path", sources.model_path},
          {"model_id", or_null(sources.model_id)},
          {"components", Json(sources.components)},
          {"transformer_weights_path", or_null(sources.transformer_weights_path)}};
}

/// The visits of both sides, one after the other.
class Bench {
 public:
  explicit Bench(const BenchRequest& request)
      : request_(request), generate_(request.generate), order_(bench_order(request.rounds)) {}

  BenchResult run() {
    for (std::size_t visit = 0; visit < order_.size(); ++visit) {
      if (visit == 0 || order_[visit] != order_[visit - 1]) load(order_[visit]);
      make_visit(visit);
    }
    unload();
    return results();
  }

 private:
  BenchSide& side(Side name) { return name == Side::reference ? runs_.reference : runs_.candidate; }
  const PipelineSources& sources(Side name) const {
    return name == Side::reference ? request_.reference : request_.candidate;
  }

  /// Gives the pipeline's memory back, so that the next one's peak is its own.
  void unload() {
    pipeline_.reset();
    malloc_trim(0);
    if (!device_.empty() && device_ != "cpu") cuda().release_cached();
  }

  void load(Side name) {
    using Clock = std::chrono::steady_clock;
    unload();
    const auto start = Clock::now();
    pipeline_ = load_pipeline(sources(name), generate_.run);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    device_ = pipeline_->description().device;
    if (side(name).load_seconds.empty()) log_summary(pipeline_->description(), side_name(name));
    side(name).load_seconds.push_back(seconds);
    if (!settings_) decide();
  }

  /// Writes the reference's choices into the request, so that the candidate cannot make other ones.
  void decide() {
    const PictureRequest resolved = pipeline_->resolve(generate_);
    pin(generate_, resolved);
    settings_ =
        RunSettings{.picture = resolved, .run = generate_.run, .warmup_runs = request_.warmup_runs};
  }

  void record_state(std::size_t visit, const char* when) {
    Json state = {{"visit", visit}, {"when", when}};
    state.update(device_state(device_));
    side(order_[visit]).device_state.push_back(state);
  }

  void make_visit(std::size_t visit) {
    log_info(fmt::format("visit {} of {}: {}", visit + 1, order_.size(), side_name(order_[visit])));
    record_state(visit, "before");
    for (std::int64_t i = 0; i < request_.warmup_runs; ++i) make_picture();
    for (std::int64_t i = 0; i < request_.measure_runs; ++i) measure(visit, i);
    record_state(visit, "after");
  }

  Generation make_picture() {
    return std::move(run_generations(*pipeline_, generate_, /*keep_states=*/false).front());
  }

  void measure(std::size_t visit, std::int64_t index) {
    const Side name = order_[visit];
    begin_peak_memory(device_);
    const Generation generation = make_picture();
    // Whoever ran first had to decide; the other side decodes in the same way.
    if (!generate_.run.vae_tiling) generate_.run.vae_tiling = pipeline_->description().vae_tiling;
    Json document = perf_document(generation, pipeline_->description(), *settings_,
                                  sources(name).model_path, generate_.command);
    document["tag"] = "cli_bench";
    BenchRun run{.perf = {}, .visit = visit, .perf_path = {}};
    const std::string file =
        fmt::format("{}-visit{}-run{}.perf.json", side_name(name), visit, index);
    if (!request_.output_dir.empty()) {
      make_folder(request_.output_dir);
      run.perf_path = (fs::path(request_.output_dir) / file).string();
      write_text(run.perf_path, dump_json(document, {.indent = 2}));
    }
    run.perf = parse_perf(document, file);
    describe(name, document["meta"]);
    side(name).runs.push_back(std::move(run));
    const bool is_first_pair = name == Side::candidate && runs_.candidate.runs.size() == 1;
    if (is_first_pair) {
      require_fair(runs_.reference.runs.front().perf, runs_.candidate.runs.front().perf);
    }
  }

  /// What a side's perf.json say about it.
  void describe(Side name, const Json& meta) {
    Json& out = side(name).description;
    if (!out.empty()) return;
    out["sources"] = sources_document(sources(name));
    for (const char* key :
         {"scheme", "scheme_source", "layers", "arithmetic", "quantized_activations",
          "weight_bytes", "kernels", "attention_backend", "fp8_attention", "fp4_backend"}) {
      out[key] = meta[key];
    }
    if (name == Side::reference) shared_ = meta["settings"];
  }

  Json report() {
    Json order = Json::array();
    for (const Side name : order_) order.push_back(side_name(name));
    Json out = {{"model_path", generate_.sources.model_path},
                {"settings", shared_},
                {"differing", request_.differing},
                {"order", order},
                {"rounds", request_.rounds},
                {"warmup_runs", request_.warmup_runs},
                {"measure_runs", request_.measure_runs}};
    out.update(bench_results(runs_));
    out["fairness"] = to_json(
        judge_fairness(runs_.reference.runs.front().perf, runs_.candidate.runs.front().perf));
    out["machine"] = machine_document(device_);
    out["versions"] = version_document();
    out["command"] = generate_.command;
    return out;
  }

  BenchResult results() {
    runs_.differing = request_.differing;
    runs_.components = networks();
    BenchResult out{.report = report(), .brief = {}};
    const auto medians = [&](const char* name) {
      const Json& one = out.report[name];
      return Json{
          {"total_ms", one["total"]["median_ms"]},     {"text_ms", one["text"]["median_ms"]},
          {"denoise_ms", one["denoise"]["median_ms"]}, {"decode_ms", one["decode"]["median_ms"]},
          {"peak_memory_mb", one["peak_memory_mb"]},   {"load_s", one["load_s"]}};
    };
    const auto path_or_null = [](const std::string& path) {
      return path.empty() ? Json(nullptr) : Json(path);
    };
    out.brief = {{"output_json", path_or_null(request_.output_json)},
                 {"output_dir", path_or_null(request_.output_dir)},
                 {"reference", medians("reference")},
                 {"candidate", medians("candidate")},
                 {"speedup", out.report["speedup"]},
                 {"peak_memory_ratio", out.report["peak_memory_ratio"]},
                 {"reading", out.report["reading"]}};
    if (!request_.output_json.empty()) {
      make_folder(fs::path(request_.output_json).parent_path().string());
      write_text(request_.output_json, dump_json(out.report, {.indent = 2}));
    }
    return out;
  }

  /// Components that hold weights.
  std::vector<std::string> networks() const {
    std::vector<std::string> out;
    const ComponentFolders folders(request_.reference);
    for (const std::string& name : folders.names()) {
      const bool is_network = name.starts_with("transformer") || name.starts_with("text_encoder") ||
                              name.starts_with("image_encoder") || name.starts_with("vae");
      if (is_network) out.push_back(name);
    }
    return out;
  }

  const BenchRequest& request_;
  GenerateRequest generate_;  ///< with nothing left open once a pipeline was loaded
  std::vector<Side> order_;
  BenchRuns runs_;
  std::unique_ptr<Pipeline> pipeline_;
  std::string device_;
  std::optional<RunSettings> settings_;
  Json shared_;
};

}  // namespace

std::vector<BenchSideName> bench_order(std::int64_t rounds) {
  std::vector<BenchSideName> out;
  for (std::int64_t i = 0; i < rounds; ++i) {
    out.insert(out.end(), {Side::reference, Side::candidate, Side::candidate, Side::reference});
  }
  return out;
}

BenchResult bench(const BenchRequest& request) {
  require_counts(request);
  require_writable_file(request.output_json);
  require_writable_folder(request.output_dir);
  return Bench(request).run();
}

}  // namespace ditq
