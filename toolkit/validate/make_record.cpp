#include "validate/make_record.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/json.h"
#include "records/fields.h"

namespace ditq {
namespace {

std::string today() {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
}

/// "emulated" where any layer's arithmetic is, as on a CPU, which has no FP8 units; else "real".
std::string arithmetic_text(const Fields& side) {
  for (const auto& [kind, layers] : side.object("arithmetic").value().items()) {
    if (kind.starts_with("emulated")) return "emulated";
  }
  return "real";
}

/// The name of the processor that a device stands for: "cuda:0 (…)" is a GPU of `ditq version`.
std::string device_text(const std::string& device,
                        const std::string& machine,
                        const Fields* doctor) {
  if (device.starts_with("cpu")) {
    const bool known =
        doctor != nullptr && doctor->has("machine") && doctor->object("machine").has("cpu");
    return known ? doctor->object("machine").text("cpu") : "CPU";
  }
  const Json facts = parse_json(machine, "ditq version");
  const std::string name = device.substr(0, device.find(' '));
  if (facts.contains("engine") && facts["engine"].is_object()) {
    for (const Json& one : facts["engine"].value("devices", Json::array())) {
      if (one.value("name", "") == name) return one.value("model", name);
    }
  }
  return device;
}

std::vector<Bar> bars_of(const Fields& comparison, std::map<std::string, double>& results) {
  std::vector<Bar> out;
  if (!comparison.has("gate")) return out;
  for (const Fields& bar : comparison.object("gate").objects("bars")) {
    out.push_back({.metric = bar.text("metric"), .op = bar.text("op"), .value = bar.number("bar")});
    results[out.back().metric] = bar.number("value");
  }
  return out;
}

/// The worst figure of each metric, beside those that bars name.
void add_worst(const Fields& comparison, std::map<std::string, double>& results) {
  if (comparison.has("aggregate")) {
    const Fields aggregate = comparison.object("aggregate");
    for (const auto& [metric, unused] : aggregate.value().items()) {
      const Fields figure = aggregate.object(metric);
      if (figure.has("worst")) results.emplace(metric, figure.number("worst"));
    }
  }
  if (comparison.has("noise_error")) {
    results.emplace("noise_l2", comparison.object("noise_error").number("noise_l2"));
  }
}

ValidationScope scope_of(const Fields& comparison,
                         const RecordSources& sources,
                         const std::string& machine,
                         const Fields* doctor) {
  const Fields settings = comparison.object("settings");
  ValidationScope out{
      .components = {},
      .width = settings.whole("width"),
      .height = settings.whole("height"),
      .num_frames = settings.optional_whole("num_frames").value_or(1),
      .num_inference_steps = settings.whole("num_inference_steps"),
      .prompts = static_cast<std::int64_t>(settings.texts("prompts").size()),
      .runs = static_cast<std::int64_t>(comparison.objects("runs").size()),
      .dtype = settings.text("dtype"),
      .device = device_text(settings.text("device"), machine, doctor),
      .arithmetic = arithmetic_text(comparison.object("sides").object("candidate"))};
  for (const auto& [component, unused] : sources.candidate) out.components.push_back(component);
  return out;
}

std::optional<ValidationSpeed> speed_of(const std::string& path) {
  if (path.empty()) return std::nullopt;
  const Json document = read_json(path);
  const Fields denoise = Fields(document, path).object("speedup").object("denoise");
  const double ratio = denoise.number("ratio");
  return ValidationSpeed{.denoise = ratio,
                         .low = denoise.optional_number("low").value_or(ratio),
                         .high = denoise.optional_number("high").value_or(ratio)};
}

std::vector<RecordedFile> candidate_files(const RecordSources& sources, Digests& digests) {
  std::vector<RecordedFile> out;
  for (const auto& [component, path] : sources.candidate) {
    for (RecordedFile& file : digests.files_of(path)) {
      file.name = component + "/" + file.name;
      out.push_back(std::move(file));
    }
  }
  return out;
}

void append(std::vector<std::string>& to, const std::vector<std::string>& more) {
  for (const std::string& one : more) {
    if (std::find(to.begin(), to.end(), one) == to.end()) to.push_back(one);
  }
}

/// The documentation's name of a scheme: "fp8" and "fp8-channel-token" are FP8.
std::string algorithm_of(const std::string& scheme) {
  if (scheme.starts_with("fp8")) return "FP8";
  if (scheme == "nvfp4") return "NVFP4";
  return scheme.empty() ? "none" : scheme;
}

/// Defects that a comparison names; missed bars are worked out from the figures.
std::vector<std::string> defects_of(const Fields& comparison) {
  return comparison.has("gate") ? comparison.object("gate").texts("findings")
                                : std::vector<std::string>{};
}

}  // namespace

std::vector<std::string> gate_shortfalls(const Json& comparison, const std::string& path) {
  const Fields root(comparison, path);
  std::vector<std::string> out = defects_of(root);
  for (const Fields& bar : root.object("gate").objects("bars")) {
    if (!bar.value().value("holds", false)) out.push_back(bar.text("sentence"));
  }
  return out;
}

std::vector<std::string> doctor_problems(const Json& report, const std::string& path) {
  std::vector<std::string> out;
  for (const Fields& finding : Fields(report, path).objects("findings")) {
    if (finding.text("severity") == "problem") out.push_back(finding.text("message"));
  }
  return out;
}

std::vector<std::string> quantized_baseline(const Json& report, const std::string& path) {
  const std::string scheme = Fields(report, path).text("scheme");
  if (scheme == "bf16") return {};
  return {"the baseline's transformer is itself quantized: " + scheme};
}

std::vector<std::string> baseline_defects(const Json& comparison, const std::string& path) {
  const Fields root(comparison, path);
  std::vector<std::string> out;
  for (const std::string& one : gate_shortfalls(comparison, path)) {
    out.push_back("two runs of the baseline differ: " + one);
  }
  for (const Fields& run : root.objects("runs")) {
    for (const Fields& finding : run.object("picture_findings").objects("reference")) {
      out.push_back("the baseline's own picture: " + finding.text("message"));
    }
  }
  return out;
}

SupportRecord make_record(const ValidateRequest& request,
                          const RecordSources& sources,
                          Digests& digests) {
  const Json comparison_document = read_json(sources.compare);
  const Fields comparison(comparison_document, sources.compare);
  const Json doctor_document = sources.doctor.empty() ? Json::object() : read_json(sources.doctor);
  const Fields doctor(doctor_document, sources.doctor);
  const Fields* examined = sources.doctor.empty() ? nullptr : &doctor;

  Validation made;
  made.date = today();
  made.case_id = request.case_id;
  made.against = sources.consistency.empty() ? "BF16 baseline" : "stored picture of the case";
  made.scope = scope_of(comparison, sources, request.machine, examined);
  made.thresholds = bars_of(comparison, made.results);
  append(made.findings, baseline_defects(read_json(sources.baseline), sources.baseline));
  append(made.findings, defects_of(comparison));
  if (examined != nullptr) append(made.findings, doctor_problems(doctor_document, sources.doctor));
  if (!sources.consistency.empty()) {
    const Json document = read_json(sources.consistency);
    const Fields consistency(document, sources.consistency);
    made.thresholds = bars_of(consistency, made.results);
    append(made.findings, defects_of(consistency));
    // Bars against the baseline, where there were some, count too.
    for (const Fields& bar : comparison.object("gate").objects("bars")) {
      if (!bar.value().value("holds", false)) append(made.findings, {bar.text("sentence")});
    }
  }
  add_worst(comparison, made.results);
  made.speed = speed_of(sources.bench);
  made.checkpoint = candidate_files(sources, digests);
  made.baseline = digests.files_of(request.model_path);
  const Fields versions = comparison.object("versions");
  made.ditq = versions.text("ditq");
  made.libtorch = versions.text("libtorch");
  made.commands = sources.commands;

  SupportRecord out{.path = {},
                    .algorithm = algorithm_of(doctor.text_or("scheme", "")),
                    .base_model = request.base_model,
                    .family = doctor.text_or("family", "unknown"),
                    .repository = request.repository,
                    .flag = request.flag,
                    .documented = {},
                    .caveats = {},
                    .validation = std::move(made)};
  if (out.validation->scope.components == std::vector<std::string>{"transformer"}) {
    out.caveats.push_back("the transformer only: text encoders and VAE stay as they were");
  }
  return out;
}

}  // namespace ditq
