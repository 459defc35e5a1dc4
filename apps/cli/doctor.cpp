// ditq doctor: what is wrong with a checkpoint, before it makes a white picture.

#include "doctor/doctor.h"

#include "commands.h"
#include "doctor_page.h"
#include "flags.h"
#include "terminal.h"

namespace ditq {
namespace {

constexpr const char* kExample =
    "Example\n"
    "  ditq doctor flux1-dev-nvfp4 --base FLUX.1-dev/transformer\n";

}  // namespace

ExitCode run_doctor(const Arguments& arguments) {
  std::string path;
  std::string base;
  bool verify = false;
  bool layers = false;
  bool json = false;
  Flags flags("doctor", "PATH [--base DIR] [--verify] [--layers] [--json]",
              "Find what is wrong with a transformer's checkpoint: tensors that are missing or do "
              "not fit, scales that cannot be, nibbles, block scales or halves in another order "
              "than loaders think. Every sign is read without a base; with one, every weight is "
              "compared with the original.\n"
              "Exit code 1 where a problem was found, 3 where a file cannot be parsed.");
  flags.group("Input");
  flags
      .positional("PATH", path,
                  "A transformer's folder or its parent, or a .safetensors file in any form that "
                  "ditq loads")
      .required()
      .path();
  flags.add("base", base, "DIR", "The original, unquantized transformer").path();
  flags.add(
      "verify", verify,
      "Read every shard whole and compare it with the file 'checksums' that conversions write");
  flags.group("Output");
  flags.add("layers", layers, "Every layer, not folded by role");
  flags.add("json", json, "As JSON");
  flags.epilog(kExample);
  if (!flags.parse(arguments)) return ExitCode::done;

  const DoctorReport report = examine(path, base, verify);
  if (json) {
    write_output(dump_json(to_json(report), {.indent = 2}) + "\n");
  } else {
    write_page(format_doctor(report, layers, output_style()));
  }
  return report.has_problems() ? ExitCode::check_failed : ExitCode::done;
}

}  // namespace ditq
