#include "commands.h"

#include <algorithm>

#include <unistd.h>

#include "help_page.h"
#include "nearest_name.h"

namespace ditq {
namespace {

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const Command& command : commands()) names.push_back(command.name);
  return names;
}

/// Underscores become dashes; --version is the subcommand's other spelling.
std::string command_name(const std::string& word) {
  return word == "--version" ? "version" : dashed(word);
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"quantize", "Convert",
       "Quantize a pipeline to FP8 or NVFP4 as ModelOpt does: calibrate, then export",
       run_quantize},
      {"build-fp8", "Convert",
       "Turn a ModelOpt FP8 export into a transformer that SGLang and ditq load", run_build_fp8},
      {"build-nvfp4", "Convert",
       "Turn a ModelOpt NVFP4 export into a transformer of BF16 and NVFP4 layers", run_build_nvfp4},
      {"synth", "Convert", "Make a full-size checkpoint of random weights, to measure with",
       run_synth},
      {"inspect", "Look", "Show what a checkpoint is: family, scheme, layers, scales, size",
       run_inspect},
      {"doctor", "Look", "Find what is wrong with a checkpoint, before it makes a white picture",
       run_doctor},
      {"matrix", "Look", "Show which checkpoints were validated, where, and which were not",
       run_matrix},
      {"report", "Look", "Make an HTML page of a comparison: pictures, steps, layers, speed",
       run_report},
      {"tokenize", "Look", "Print the token ids of prompts", run_tokenize},
      {"generate", "Run", "Make pictures from prompts with a BF16 or FP8 pipeline", run_generate},
      {"compare", "Run", "Measure how far a candidate strays from a reference, step by step",
       run_compare},
      {"bench", "Run",
       "Time a candidate against a reference that differs in the checkpoint only, or compare "
       "perf.json files",
       run_bench},
      {"tune", "Run",
       "Find the smallest set of layers to keep in full precision for a stated error", run_tune},
      {"validate", "Run",
       "The whole way, in stages that are done once: quantize, build, doctor, compare, bench, "
       "record",
       run_validate},
      {"version", "About", "Show this build, its libraries and devices", run_version},
  };
  return table;
}

std::string overview() {
  HelpPage page{
      .usage = "ditq COMMAND [ARGUMENTS]",
      .about =
          {"Diffusion transformers from BF16 to quantized checkpoints that are proven to work: "
           "convert, inspect, run, compare."},
      .epilog =
          "'ditq COMMAND --help' explains a command.\n"
          "Exit codes: 0 done, 1 a check failed, 2 usage, 3 bad input, 4 unsupported here,\n"
          "5 device, memory or storage, 130 interrupted.\n"};
  for (const Command& command : commands()) {
    page.rows.push_back({.group = command.group, .left = command.name, .right = command.summary});
  }
  return format_help(page, terminal_columns(STDOUT_FILENO), output_style());
}

ExitCode run_command_line(const Arguments& arguments) {
  const auto is_command = [](const std::string& word) {
    return word == "--version" || (!word.empty() && word[0] != '-');
  };
  const auto word = std::find_if(arguments.begin(), arguments.end(), is_command);
  if (arguments == Arguments{"--list-flags"}) {  // for shell completion
    for (const std::string& name : command_names()) write_output(name + "\n");
    return ExitCode::done;
  }
  if (word == arguments.end()) {
    const auto asks = [](const std::string& w) { return w == "--help" || w == "-h"; };
    const bool help = std::any_of(arguments.begin(), arguments.end(), asks);
    if (!help) {
      throw Error(ErrorCode::usage, "a command is missing", {.advice = "See 'ditq --help'"});
    }
    write_output(overview());
    return ExitCode::done;
  }
  if (*word == "help" && word + 1 == arguments.end()) return run_command_line({"--help"});
  if (*word == "help") return run_command_line({*(word + 1), "--help"});

  const auto found =
      std::find_if(commands().begin(), commands().end(),
                   [&](const Command& command) { return command.name == command_name(*word); });
  if (found == commands().end()) {
    const std::string near = nearest_name(*word, command_names());
    throw Error(
        ErrorCode::usage, "unknown command '" + *word + "'",
        {.advice = (near.empty() ? "" : "Did you mean " + near + "? ") + "See 'ditq --help'"});
  }
  Arguments rest(arguments.begin(), word);
  rest.insert(rest.end(), word + 1, arguments.end());
  return found->run(rest);
}

}  // namespace ditq
