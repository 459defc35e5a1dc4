// ditq version: this build, and what the engine knows about the machine where there is an engine.

#include <fmt/format.h>

#include "base/json.h"
#include "commands.h"
#include "engine_loader.h"
#include "flags.h"
#include "terminal.h"

namespace ditq {
namespace {

Json devices_json(const EngineInfo& info) {
  Json devices = Json::array();
  for (const DeviceInfo& device : info.devices) {
    Json entry = {{"name", device.name}, {"model", device.model}};
    if (!device.capability.empty()) {
      entry["capability"] = device.capability;
      entry["memory_gib"] = device.memory_gib;
    }
    devices.push_back(entry);
  }
  return devices;
}

/// A toolkit build is complete without an engine: its absence is a fact, not an error. One that is there and does not
/// load is reported as such.
Json engine_facts() {
  if (!engine_is_installed()) return nullptr;
  try {
    const EngineInfo info = load_engine().info();
    return {{"libtorch", info.libtorch},
            {"cpu_capability", info.cpu_capability},
            {"threads", info.threads},
            {"cuda", info.cuda},
            {"devices", devices_json(info)}};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::engine_missing) throw;
    return {{"error", error.what()}};
  }
}

std::string for_people(const Json& facts) {
  const Style& style = output_style();
  const auto line = [&](const std::string& label, const std::string& value) {
    return fmt::format("{}{}\n", style.bold(fmt::format("{:<12}", label)), value);
  };
  std::string out = line("ditq", facts["ditq"]);
  out += line("built", fmt::format("{}, {}", facts["build"].get<std::string>(),
                                   facts["compiler"].get<std::string>()));
  const Json& engine = facts["engine"];
  if (engine.is_null()) {
    return out +
           line("engine", "none: a toolkit build; build-fp8, inspect and tokenize run without one");
  }
  if (engine.contains("error")) return out + line("engine", engine["error"]);
  out += line("libtorch", engine["libtorch"]);
  out +=
      line("processor", fmt::format("{}, {} threads", engine["cpu_capability"].get<std::string>(),
                                    engine["threads"].get<int>()));
  for (const Json& device : engine["devices"]) {
    std::string text = device["name"].get<std::string>() + " " + device["model"].get<std::string>();
    if (device.contains("capability")) {
      text +=
          fmt::format(", compute capability {}, {:.0f} GiB",
                      device["capability"].get<std::string>(), device["memory_gib"].get<double>());
    }
    out += line("device", text);
  }
  return out + line("CUDA", engine["cuda"]);
}

}  // namespace

ExitCode run_version(const Arguments& arguments) {
  bool json = false;
  Flags flags("version", "[--json]",
              "Show this build, its libraries and the devices that it can run on.");
  flags.add("json", json, "As JSON");
  if (!flags.parse(arguments)) return ExitCode::done;
  const Json facts = {{"ditq", DITQ_VERSION},
                      {"build", DITQ_BUILD_TYPE},
                      {"compiler", "g++ " __VERSION__},
                      {"engine", engine_facts()}};
  write_output(json ? dump_json(facts, {.indent = 2}) + "\n" : for_people(facts));
  return ExitCode::done;
}

}  // namespace ditq
