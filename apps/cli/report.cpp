// ditq report: the page that shows a comparison to people, from the documents that other commands wrote.

#include "report/report.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "commands.h"
#include "flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq compare … --output-json compare.json --save-output-dir pictures\n"
    "  ditq doctor fp8 --base FLUX.1-dev/transformer --json >doctor.json\n"
    "  ditq inspect fp8 --layers --json >inspect.json\n"
    "  ditq report --comparison compare.json --doctor doctor.json --inspect inspect.json \\\n"
    "    --output report.html\n";

/// The documents' files, as typed.
struct ReportFiles {
  std::string comparison;
  std::string bench;
  std::string doctor;
  std::string inspect;
  std::string record;
  std::string output;
};

void declare(Flags& flags, ReportFiles& files, std::string& title) {
  flags.group("Input");
  flags
      .add("comparison", files.comparison, "FILE",
           "What 'compare --output-json' wrote; the pictures that it names are shown")
      .required()
      .path();
  flags.add("bench", files.bench, "FILE", "What 'bench --output-json' wrote").path();
  flags
      .add("doctor", files.doctor, "FILE",
           "What 'doctor --json --base DIR' printed about the candidate")
      .path();
  flags
      .add("inspect", files.inspect, "FILE",
           "What 'inspect --json --layers' printed about the candidate")
      .path();
  flags.add("record", files.record, "FILE", "What 'validate' recorded").path();
  flags.group("Output");
  flags.add("output", files.output, "FILE", "The page (.html): one file, which opens offline")
      .required()
      .path();
  flags.add("title", title, "TEXT", "Its title (made from the comparison)");
}

std::optional<Json> read_optional(const std::string& path) {
  return path.empty() ? std::nullopt : std::optional(read_json(path));
}

}  // namespace

ExitCode run_report(const Arguments& arguments) {
  ReportFiles files;
  ReportInput input;
  Flags flags("report", "--comparison FILE --output FILE [flags]",
              "Make an HTML page of a comparison: verdict, pictures with a slider and a difference "
              "map, the steps, the weights' quantization error layer by layer, what was kept in "
              "full precision and why, speed, settings. Runs no model.");
  declare(flags, files, input.title);
  flags.epilog(kExample);
  if (!flags.parse(arguments)) return ExitCode::done;

  input.comparison = read_json(files.comparison);
  input.bench = read_optional(files.bench);
  input.doctor = read_optional(files.doctor);
  input.inspect = read_optional(files.inspect);
  input.record = read_optional(files.record);
  input.names = {.comparison = files.comparison,
                 .bench = files.bench,
                 .doctor = files.doctor,
                 .inspect = files.inspect,
                 .record = files.record};
  input.pairs = read_report_pairs(input);
  const std::string page = html_report(input);
  write_text(files.output, page);
  log_info(fmt::format("{}: {}", files.output, human_bytes(page.size())));
  write_output(dump_json({{"report", files.output}, {"bytes", page.size()}}, {.indent = 2}) + "\n");
  return ExitCode::done;
}

}  // namespace ditq
