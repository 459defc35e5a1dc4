// ditq inspect: what a checkpoint is, without reading its weights.

#include "commands.h"
#include "flags.h"
#include "inspect_page.h"
#include "inspect_report.h"
#include "terminal.h"

namespace ditq {

ExitCode run_inspect(const Arguments& arguments) {
  std::string path;
  bool layers = false;
  bool json = false;
  Flags flags("inspect", "PATH [--layers] [--json]",
              "Show what a checkpoint is: family, variant, naming, scheme, how its layers are "
              "stored, their scales, and "
              "why a layer is not quantized. Reads headers and scales, never weights.");
  flags.group("Input");
  flags
      .positional("PATH", path,
                  "A pipeline folder, a component's folder, a .safetensors file, or a torch "
                  "checkpoint (.pt)")
      .required()
      .path();
  flags.group("Output");
  flags.add("layers", layers, "Every layer, not folded by role");
  flags.add("json", json, "As JSON");
  if (!flags.parse(arguments)) return ExitCode::done;

  const InspectReport report = inspect(path);
  if (json) {
    write_output(dump_json(to_json(report, layers), {.indent = 2}) + "\n");
  } else {
    write_page(format_report(report, layers, output_style()));
  }
  return ExitCode::done;
}

}  // namespace ditq
