// ditq matrix: the support matrix, from records of validations and from nothing else.

#include "records/matrix.h"

#include <fmt/format.h>
#include <unistd.h>

#include "commands.h"
#include "flags.h"
#include "support_files.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq matrix --markdown > docs/support-matrix.md\n";

std::string state_text(const SupportRecord& record, const Style& style) {
  const SupportState state = state_of(record);
  const std::string name = name_of(state);
  if (state == SupportState::not_validated) return style.dim(name);
  return state == SupportState::validated ? style.green(name) : style.yellow(name);
}

/// Two lines a record or more: what it is and whether it passed; below, where it is and what was run.
std::string for_people(const std::vector<SupportRecord>& records) {
  const Style& style = output_style();
  const std::size_t columns = terminal_columns(STDOUT_FILENO);
  constexpr std::size_t kIndent = 8;
  std::string out;
  for (const SupportRecord& record : sorted_for_matrix(records)) {
    out += fmt::format("{:<{}}{}  {}\n", record.algorithm, kIndent, style.bold(record.base_model),
                       state_text(record, style));
    std::string below = record.repository.empty() ? "unpublished" : record.repository;
    below += ", " + record.flag;
    if (record.validation) below += "; " + scope_text(record);
    out += std::string(kIndent, ' ') + wrap_text(below, columns, kIndent) + "\n";
    if (!record.validation) continue;
    for (const std::string& one : shortfalls(*record.validation)) {
      out += std::string(kIndent, ' ') + style.yellow(one) + "\n";
    }
  }
  return out;
}

}  // namespace

ExitCode run_matrix(const Arguments& arguments) {
  std::string folder;
  bool markdown = false;
  bool json = false;
  Flags flags("matrix", "[--records DIR] [--markdown | --json]",
              "Show which checkpoints were validated, at what size and on which device, and which "
              "were not. Every row "
              "comes from a record; whether it passed is worked out anew from the record's figures "
              "and bars.");
  flags
      .add("records", folder, "DIR",
           "Folder of records, as 'ditq validate' writes them (default: docs/support/records of "
           "this build)")
      .path();
  flags.add("markdown", markdown, "As a page of Markdown");
  flags.add("json", json, "As JSON");
  flags.epilog(kExample);
  if (!flags.parse(arguments)) return ExitCode::done;
  if (markdown && json) throw Error(ErrorCode::usage, "--markdown and --json exclude each other");

  const auto records = read_records(folder.empty() ? support_file("records", "--records") : folder);
  if (markdown) {
    write_output(matrix_markdown(records));
  } else if (json) {
    write_output(dump_json(matrix_json(records), {.indent = 2}) + "\n");
  } else {
    write_page(for_people(records));
  }
  return ExitCode::done;
}

}  // namespace ditq
