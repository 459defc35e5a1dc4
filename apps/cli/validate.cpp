// ditq validate: from BF16 to a record, in stages that are done once.

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "commands.h"
#include "compare_report.h"
#include "engine_loader.h"
#include "sglang_flags.h"
#include "support_files.h"
#include "terminal.h"
#include "text_table.h"
#include "validate/child.h"
#include "validate_flags.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExamples =
    "Examples\n"
    "  ditq validate --model-path FLUX.1-dev --format fp8 --calibration-prompts-file prompts.txt "
    "\\\n"
    "    --prompts-file held-out.txt --output-dir validation\n"
    "  ditq validate --model-path FLUX.1-dev --transformer-path flux1-dev-fp8 \\\n"
    "    --case flux1_modelopt_fp8_t2i --output-dir validation\n\n";

/// What ditq consists of beside the program: a new build of any of it counts as a change.
std::vector<std::string> program_files(const std::string& program) {
  std::vector<std::string> out = {program};
  for (const std::string& engine : engine_candidates()) {
    if (!fs::exists(engine)) continue;
    const fs::path folder = fs::path(engine).parent_path();
    for (const char* name : {"libditq_toolkit.so", "libditq_engine.so", "libditq_cuda.so"}) {
      if (fs::exists(folder / name)) out.push_back((folder / name).string());
    }
    break;
  }
  return out;
}

/// What `ditq version --json` says, in a process of its own: asking for devices takes memory of theirs.
std::string ask_machine(const WorkFolder& work, const std::string& program) {
  const std::string file = work.notes() + "/machine.json";
  const int code = run_child(program, {"version", "--json"}, file);
  if (code != 0)
    throw Error(ErrorCode::device, "'ditq version' did not end well",
                {.found = std::to_string(code)});
  return read_text(file);
}

void print_cases(const std::vector<SupportCase>& cases) {
  using Align = TextTable::Align;
  TextTable table({"case", "size", "steps", "bars"},
                  {Align::left, Align::left, Align::right, Align::left});
  for (const SupportCase& one : cases) {
    const std::string frames = one.num_frames ? fmt::format(" x {}", *one.num_frames) : "";
    table.add({one.id, fmt::format("{} x {}{}", one.width, one.height, frames),
               std::to_string(one.num_inference_steps), bars_text(one.thresholds)});
  }
  write_page(table.format(output_style()));
}

void require_stage(const std::vector<Stage>& stages, const std::string& name, const char* flag) {
  const auto is_it = [&](const Stage& stage) { return stage.name == name; };
  if (std::any_of(stages.begin(), stages.end(), is_it)) return;
  std::vector<std::string> names;
  for (const Stage& stage : stages) names.push_back(stage.name);
  throw Error(
      ErrorCode::usage, fmt::format("{}: there is no such stage", flag),
      {.expected = fmt::format("one of {}", fmt::join(names, ", ")), .found = "'" + name + "'"});
}

std::vector<StageResult> run_stages(StageRunner& runner,
                                    const std::vector<Stage>& stages,
                                    const ValidateFlags& choice) {
  const Style style{.enabled = log_settings().color};
  std::vector<StageResult> out;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Stage& stage = stages[i];
    if (!choice.only.empty() && stage.name != choice.only) continue;
    const bool again =
        stage.name == choice.only ||
        std::find(choice.redo.begin(), choice.redo.end(), stage.name) != choice.redo.end();
    log_info(style.bold(fmt::format("{}/{}  {}", i + 1, stages.size(), stage.name)) + ": " +
             stage.title);
    out.push_back(runner.run(stage, again));
    if (out.back().reused) log_info("     done before, and nothing has changed since");
  }
  return out;
}

Json summary_of(const std::vector<StageResult>& results,
                const ValidateRequest& request,
                const WorkFolder& work) {
  Json stages = Json::array();
  Json missed = Json::array();
  for (const StageResult& result : results) {
    stages.push_back({{"name", result.name},
                      {"reused", result.reused},
                      {"seconds", result.seconds},
                      {"shortfalls", result.shortfalls}});
    for (const std::string& one : result.shortfalls) missed.push_back(result.name + ": " + one);
  }
  const auto path = [&](const char* name) {
    const std::string file = work / name;
    return fs::exists(file) ? Json(file) : Json(nullptr);
  };
  return {{"passed", missed.empty()},
          {"base_model", request.base_model},
          {"shortfalls", missed},
          {"stages", stages},
          {"report", path("report/report.html")},
          {"record", path("record/record.json")}};
}

void print_end(const std::vector<StageResult>& results, const Json& summary) {
  using Align = TextTable::Align;
  const Style style{.enabled = log_settings().color};
  TextTable table({"stage", "", "seconds"}, {Align::left, Align::left, Align::right});
  for (const StageResult& result : results) {
    const std::string state = result.shortfalls.empty()
                                  ? style.green(result.reused ? "kept" : "done")
                                  : style.yellow("found something");
    table.add({result.name, state, fmt::format("{:.1f}", result.seconds)});
  }
  log_info("\n" + table.format(style));
  for (const Json& missed : summary["shortfalls"]) log_error(missed.get<std::string>());
  log_info(summary["passed"].get<bool>() ? style.bold("The gate passes.")
                                         : style.bold("The gate does not pass."));
  for (const char* what : {"report", "record"}) {
    if (summary[what].is_string())
      log_info(fmt::format("{}: {}", what, summary[what].get<std::string>()));
  }
}

}  // namespace

ExitCode run_validate(const Arguments& arguments) {
  Flags flags("validate",
              "--model-path DIR (--format F | --modelopt-hf-dir DIR | --transformer-path DIR) "
              "--output-dir DIR [flags]",
              "Take a pipeline from BF16 to a quantized checkpoint that is proven to work, or "
              "prove one that is there: "
              "baseline, quantize, build, doctor, compare, bench, report, record. Every stage is a "
              "command of ditq, leaves "
              "its files in a folder of its own, and is done once: a second run continues where "
              "the first was stopped, and "
              "runs again what depends on something that has changed.\n"
              "Prints the result as JSON on stdout. Exits with 1 when a stage found something: a "
              "bar missed, a damaged "
              "checkpoint, a blank picture.");
  ValidateFlags validate(flags);
  const SglangFlags sglang(flags);
  flags.epilog(kExamples + SglangFlags::help());
  if (!flags.parse(arguments)) return ExitCode::done;
  sglang.check();
  if (validate.list_cases) {
    print_cases(read_cases(support_file("cases.json", "--cases-file")));
    return ExitCode::done;
  }
  ValidateRequest request = validate.request();
  require_folder_of(validate.record_copy);
  const WorkFolder work(request.output_dir);
  const std::string program = running_program();
  request.machine = ask_machine(work, program);
  StageRunner runner(
      work, program, program_files(program),
      log_settings().quiet ? std::vector<std::string>{"--quiet"} : std::vector<std::string>{});
  const std::vector<Stage> stages = plan_validation(request, work, runner);
  for (const std::string& name : validate.redo) require_stage(stages, name, "--redo");
  if (!validate.only.empty()) require_stage(stages, validate.only, "--only");
  const std::vector<StageResult> results = run_stages(runner, stages, validate);
  const Json summary = summary_of(results, request, work);
  if (!validate.record_copy.empty() && summary["record"].is_string()) {
    write_text(validate.record_copy, read_text(summary["record"].get<std::string>()));
  }
  print_end(results, summary);
  write_output(dump_json(summary, {.indent = 2}) + "\n");
  return summary["passed"].get<bool>() ? ExitCode::done : ExitCode::check_failed;
}

}  // namespace ditq
