// ditq bench: two checkpoints timed in turn with everything else equal, or perf.json files compared.

#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "bench_page.h"
#include "commands.h"
#include "engine_loader.h"
#include "flags.h"
#include "generate_flags.h"
#include "perf/comparison.h"
#include "perf/fairness.h"
#include "perf/perf_file.h"
#include "sglang_flags.h"
#include "side_flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExamples =
    "Examples\n"
    "  ditq bench --model-path models/tiny-flux --candidate-transformer-path out/fp8 \\\n"
    "    --prompt \"a large red circle on a navy background\" --width 256 --height 256 \\\n"
    "    --num-inference-steps 8 --output-json bench.json\n"
    "  ditq bench bf16.perf.json fp8.perf.json\n\n";

[[noreturn]] void refuse(const std::string& sentence) {
  throw Error(ErrorCode::usage, sentence, {.advice = "See 'ditq bench --help'"});
}

/// What is neither shared with generate nor a side's.
struct BenchFlags {
  std::vector<std::string> files;
  bool self = false;
};

void declare_measure(Flags& flags, BenchRequest& request, BenchFlags& more) {
  flags.group("What to measure and write");
  flags.add("rounds", request.rounds, "N", "Each is four visits: A B B A (1)").at_least(1);
  flags.add("warmup-runs", request.warmup_runs, "N", "Unmeasured runs of each visit (1)")
      .at_least(0);
  flags.add("measure-runs", request.measure_runs, "N", "Measured runs of each visit (2)")
      .at_least(1);
  flags.add("self", more.self,
            "Both sides are the same checkpoint: measures the noise of this machine");
  flags
      .add("output-dir", request.output_dir, "DIR",
           "Folder for the perf.json of every measured run (outputs/bench)")
      .path();
  flags.add("output-json", request.output_json, "FILE", "Write the whole result").path();
}

void print_json(const Json& document, const std::string& output_json) {
  const std::string text = dump_json(document, {.indent = 2});
  if (!output_json.empty()) write_text(output_json, text);
  write_output(text + "\n");
}

ExitCode compare_files(const Flags& flags, const BenchRequest& request, const BenchFlags& more) {
  static const std::set<std::string> kFree = {"output-json", "config",   "quiet",
                                              "verbose",     "progress", "color"};
  for (const std::string& flag : flags.given()) {
    if (kFree.contains(flag)) continue;
    refuse(
        fmt::format("--{} does not go with perf.json files, which are compared as they are", flag));
  }
  if (more.files.size() < 2) refuse("one perf.json is nothing to compare: give two or more");
  std::vector<PerfFile> runs;
  for (const std::string& path : more.files) runs.push_back(read_perf(expand_user(path)));
  for (std::size_t i = 1; i < runs.size(); ++i) require_fair(runs.front(), runs[i]);
  Json comparisons = Json::array();
  for (std::size_t i = 1; i < runs.size(); ++i) {
    const PerfComparison comparison = compare_perf(runs.front(), runs[i]);
    const Fairness fairness = judge_fairness(runs.front(), runs[i]);
    log_info(comparison_page(comparison, fairness, Style{}));
    Json entry = to_json(comparison);
    entry["fairness"] = to_json(fairness);
    entry["models"] = {{"baseline", runs.front().model}, {"candidate", runs[i].model}};
    entry["commits"] = {{"baseline", runs.front().commit_hash}, {"candidate", runs[i].commit_hash}};
    comparisons.push_back(std::move(entry));
  }
  print_json({{"baseline", runs.front().path}, {"comparisons", comparisons}}, request.output_json);
  return ExitCode::done;
}

ExitCode run_sides(BenchRequest& request, const BenchFlags& more, SideFlags& sides) {
  GenerateRequest& generate = request.generate;
  if (generate.sources.model_path.empty()) refuse("--model-path is required, or perf.json files");
  if (generate.prompts.empty()) refuse("a --prompt is required");
  sides.finish(generate.sources);
  generate.sources = sides.reference();
  request.reference = sides.reference();
  request.candidate = sides.candidate();
  request.differing = sides.differing();
  if (request.differing.empty() && !more.self) {
    refuse(
        "both sides are the same checkpoints: give --candidate-<component>-path DIR, or --self to "
        "measure the noise of this machine");
  }
  if (!request.differing.empty() && more.self) {
    refuse("--self holds a checkpoint against itself, and the sides differ");
  }
  const BenchResult result = load_engine().bench(request);
  log_info(bench_page(result.report, Style{}));
  write_output(dump_json(result.brief, {.indent = 2}) + "\n");
  return ExitCode::done;
}

}  // namespace

ExitCode run_bench(const Arguments& arguments) {
  BenchRequest request;
  request.output_dir = "outputs/bench";
  BenchFlags more;
  Flags flags("bench",
              "(FILE FILE… | --model-path DIR --prompt TEXT --candidate-…-path DIR) [flags]",
              "Time two sides that differ in their checkpoints and in nothing else, in turn (A B B "
              "A), and say whether the candidate is faster. Or compare perf.json files, ditq's and "
              "SGLang's: the first one is the baseline; a pair whose settings differ is refused "
              "(exit code 3).\n"
              "Prints the result as JSON on stdout.");
  GenerateFlags shared(flags, request.generate);
  flags.group("Form 1: files (no model is loaded)");
  flags.positionals("FILE", more.files, "perf.json files; the first is the baseline");
  SideFlags sides(flags, request.generate.sources.components);
  shared.declare_sources();
  shared.declare_sampling();
  flags.add("negative-prompt", request.generate.negative_prompt, "TEXT",
            "What to keep away from; needs --true-cfg-scale above 1");
  flags.add("true-cfg-scale", request.generate.true_cfg_scale, "X",
            "Classifier-free guidance with the negative prompt (1: off)");
  declare_measure(flags, request, more);
  shared.declare_run();
  const SglangFlags sglang(flags);
  flags.epilog(kExamples + SglangFlags::help());
  if (!flags.parse(arguments)) return ExitCode::done;

  if (!more.files.empty()) {
    if (sides.are_given()) refuse("perf.json files are compared as they are: no checkpoint is run");
    return compare_files(flags, request, more);
  }
  sglang.check();
  shared.finish_sampling();
  shared.finish_run();
  request.generate.command = {"ditq", "bench"};
  request.generate.command.insert(request.generate.command.end(), arguments.begin(),
                                  arguments.end());
  return run_sides(request, more, sides);
}

}  // namespace ditq
