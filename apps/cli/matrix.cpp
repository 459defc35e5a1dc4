// ditq matrix: the support matrix, from records of validations and from nothing else.

#include "records/matrix.h"

#include <fmt/format.h>

#include "commands.h"
#include "flags.h"
#include "support_files.h"
#include "terminal.h"
#include "text_table.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq matrix --markdown > docs/support-matrix.md\n";

std::string for_people(const std::vector<SupportRecord>& records) {
  using Align = TextTable::Align;
  const Style& style = output_style();
  TextTable table({"algorithm", "base model", "checkpoint", "state", "scope"},
                  {Align::left, Align::left, Align::left, Align::left, Align::left});
  for (const SupportRecord& record : sorted_for_matrix(records)) {
    const SupportState state = state_of(record);
    const std::string name = name_of(state);
    table.add({record.algorithm, record.base_model,
               record.repository.empty() ? "unpublished" : record.repository,
               state == SupportState::validated ? style.green(name)
               : state == SupportState::failed  ? style.yellow(name)
                                                : style.dim(name),
               scope_text(record)});
  }
  return table.format(style);
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
