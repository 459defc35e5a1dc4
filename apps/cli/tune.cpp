// ditq tune: which layers of a quantized transformer have to stay in full precision for a stated error.

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "commands.h"
#include "engine_loader.h"
#include "flags.h"
#include "frontier_plot.h"
#include "generate_flags.h"
#include "prompts.h"
#include "sglang_flags.h"
#include "terminal.h"
#include "text_table.h"

namespace ditq {
namespace {

constexpr const char* kExamples =
    "Example\n"
    "  ditq tune --model-path models/tiny-flux --candidate export/transformer --prompts-file "
    "prompts.txt \\\n"
    "    --width 256 --height 256 --num-inference-steps 8 --require 'noise_l2<=0.03' \\\n"
    "    --log tune.jsonl --patterns keep.json --plot frontier.svg\n"
    "  ditq build-fp8 --config keep.json --modelopt-hf-dir export …\n\n";

/// What the flags say beside the request.
struct TuneFlags {
  std::string candidate;
  std::string prompts_file;
  std::string patterns_file;
  std::string plot_file;
  std::string json_file;
};

[[noreturn]] void refuse(const std::string& sentence) {
  throw Error(ErrorCode::usage, sentence, {.advice = "See 'ditq tune --help'"});
}

void declare_search(Flags& flags, TuneRequest& request, TuneFlags& more) {
  flags.group("What to search");
  flags
      .add("candidate", more.candidate, "PATH",
           "The quantized transformer, with every layer quantized that may be: a component folder, "
           "an export or a .safetensors file")
      .required()
      .path();
  flags
      .add("prompts-file", more.prompts_file, "FILE",
           "One prompt a line; prompt i takes seed + i. 16 and more tell sets apart")
      .path();
  flags
      .add("require", request.require, "BAR",
           "The error that the chosen set must meet, such as 'noise_l2<=0.03'")
      .required();
  flags
      .add(
          "group-by", request.group_by, "HOW",
          "Decide about layers one by one, by their kind over all blocks, or by block (auto: layer "
          "up to 128 layers, kind above)")
      .choices({"auto", "layer", "kind", "block"});
  flags
      .add("psnr-prompts", request.psnr_prompts, "N",
           "Also make the pictures of the first N prompts with every set (2)")
      .at_least(0);
  flags
      .add("frontier-points", request.frontier_points, "N",
           "Sets between nothing and everything kept that are measured (12)")
      .at_least(2);
  flags
      .add("max-search-runs", request.max_search_runs, "N",
           "Measurements that the search may take (64)")
      .at_least(1);
}

void declare_output(Flags& flags, TuneRequest& request, TuneFlags& more) {
  flags.group("What to write");
  flags
      .add("log", request.log_file, "FILE",
           "Append measurements here and take known ones from here: an interrupted run goes on")
      .path();
  flags
      .add("patterns", more.patterns_file, "FILE",
           "The chosen set as a config file (.json) of build-fp8: --model-type none and its "
           "--keep-bf16-pattern")
      .path();
  flags.add("plot", more.plot_file, "FILE", "The frontier as an SVG picture").path();
  flags.add("output-json", more.json_file, "FILE", "The report that stdout gets").path();
}

std::string psnr_text(const Json& row) {
  if (row["psnr_db"].is_null()) return "";
  return fmt::format("{:.1f} ± {:.1f}", row["psnr_db"].get<double>(),
                     row["psnr_confidence"].get<double>());
}

/// A table of measured sets, on stderr.
void print_rows(const Json& report) {
  using Align = TextTable::Align;
  TextTable table({"set", "kept", "MB in full precision", "MB of layers", "ms of layers",
                   "noise_l2", "worst cosine", "PSNR dB"},
                  {Align::left, Align::right, Align::right, Align::right, Align::right,
                   Align::right, Align::right, Align::right});
  const auto add = [&](const Json& row) {
    table.add({row["name"].get<std::string>(), fmt::format("{}", row["kept_layers"].get<int>()),
               fmt::format("{:.2f}", row["kept_bytes"].get<double>() / 1e6),
               fmt::format("{:.2f}", row["layer_bytes"].get<double>() / 1e6),
               fmt::format("{:.2f}", row["layer_ms"].get<double>()),
               fmt::format("{:.5f} ± {:.5f}", row["noise_l2"].get<double>(),
                           row["noise_l2_confidence"].get<double>()),
               fmt::format("{:.6f}", row["worst_cosine"].get<double>()), psnr_text(row)});
  };
  for (const char* part : {"sets", "frontier"}) {
    for (const Json& row : report[part]) add(row);
  }
  add(report["chosen"]);
  log_info("\n" + table.format({.enabled = log_settings().color}));
}

PlotPoint point_of(const Json& row, bool label) {
  return {.label = label ? row["name"].get<std::string>() : "",
          .x = row["layer_bytes"].get<double>(),
          .y = row["noise_l2"].get<double>(),
          .spread = row["noise_l2_confidence"].get<double>()};
}

std::string plot_of(const Json& report, double bar) {
  FrontierPlot plot{.title = fmt::format("noise_l2 over {} prompts × {} steps",
                                         report["prompts"].get<int>(), report["steps"].get<int>()),
                    .x_title = "bytes of the layers that may be quantized, MB",
                    .y_title = "noise_l2 (mean relative L2 error of the prediction)",
                    .line = {},
                    .marks = {},
                    .bar = bar};
  for (const Json& row : report["frontier"]) plot.line.push_back(point_of(row, false));
  for (const Json& row : report["sets"]) plot.marks.push_back(point_of(row, true));
  plot.marks.push_back(point_of(report["chosen"], true));
  return draw(plot);
}

void write_outputs(const TuneResult& result, const TuneFlags& more) {
  if (!more.patterns_file.empty()) {
    const Json config = {{"model_type", "none"}, {"keep_bf16_pattern", result.patterns}};
    write_text(more.patterns_file, dump_json(config, {.indent = 2}) + "\n");
  }
  if (!more.json_file.empty()) {
    write_text(more.json_file, dump_json(result.report, {.indent = 2}) + "\n");
  }
  if (!more.plot_file.empty()) {
    const auto text = result.report["require"].get<std::string>();
    const double bar = std::stod(text.substr(text.find_first_of("0123456789.", text.find('<'))));
    write_text(more.plot_file, plot_of(result.report, bar));
  }
}

void finish(TuneRequest& request, const TuneFlags& more) {
  GenerateRequest& made = request.generate;
  if (made.sources.model_path.empty()) refuse("--model-path is required");
  if (!made.prompts.empty() && !more.prompts_file.empty()) {
    refuse("--prompt and --prompts-file exclude each other");
  }
  if (!more.prompts_file.empty()) made.prompts = read_prompts_to_generate(more.prompts_file);
  if (made.prompts.empty()) refuse("a prompt is missing: --prompts-file FILE or --prompt TEXT");
  if (!more.patterns_file.empty() && !more.patterns_file.ends_with(".json")) {
    refuse("--patterns writes a .json file");
  }
  request.candidate = made.sources;
  request.candidate.components["transformer"] = more.candidate;
  request.candidate.transformer_weights_path.clear();
  resolve_sources(made.sources);
  resolve_sources(request.candidate);
  constexpr std::size_t kEnough = 16;
  if (made.prompts.size() < kEnough) {
    log_warning(
        fmt::format("{} prompts are few: sets that differ little are not told apart below "
                    "{}",
                    made.prompts.size(), kEnough));
  }
}

}  // namespace

ExitCode run_tune(const Arguments& arguments) {
  TuneRequest request;
  TuneFlags more;
  Flags flags("tune", "--model-path DIR --candidate PATH --prompts-file FILE --require BAR [flags]",
              "Find the smallest set of layers to keep in full precision, so that a quantized "
              "transformer's predictions stay within a stated error. One network with both weights "
              "in every layer is loaded; every group of layers is measured alone, then published "
              "sets, sets along the frontier of error against bytes, and those of the search.\n"
              "noise_l2 is the mean relative L2 error of what the transformer predicts, with every "
              "step asked at the latents of the full-precision run, over all prompts and steps.\n"
              "Prints the report as JSON on stdout and the tables on stderr.");
  GenerateFlags shared(flags, request.generate);
  declare_search(flags, request, more);
  shared.declare_sources();
  shared.declare_sampling();
  declare_output(flags, request, more);
  shared.declare_run();
  const SglangFlags sglang(flags);
  flags.epilog(kExamples + SglangFlags::help());
  if (!flags.parse(arguments)) return ExitCode::done;

  sglang.check();
  shared.finish_sampling();
  shared.finish_run();
  finish(request, more);
  const TuneResult result = load_engine().tune(request);
  print_rows(result.report);
  write_outputs(result, more);
  write_output(dump_json(result.report, {.indent = 2}) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
