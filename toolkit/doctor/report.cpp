#include "doctor/report.h"

#include <algorithm>
#include <cmath>

namespace ditq {
namespace {

/// JSON has no infinity.
Json or_null(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json finding_json(const Finding& finding) {
  return {{"kind", finding.kind},
          {"severity", finding.severity == Severity::problem ? "problem" : "note"},
          {"message", finding.message},
          {"layers", finding.layers},
          {"error", or_null(finding.error)},
          {"error_after", or_null(finding.error_after)},
          {"advice", or_null(finding.advice)}};
}

Json machine_json(const MachineReport& machine) {
  return {{"cpu", or_null(machine.cpu)},
          {"units", machine.units},
          {"gpus", machine.gpus},
          {"memory", machine.memory},
          {"statements", machine.statements}};
}

}  // namespace

bool DoctorReport::has_problems() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.severity == Severity::problem; });
}

Json to_json(const DoctorReport& report) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) findings.push_back(finding_json(finding));
  Json layers = Json::array();
  for (const ExaminedLayer& layer : report.layers) {
    layers.push_back({{"name", layer.name},
                      {"stored", layer.stored},
                      {"error", or_null(layer.error)},
                      {"equals_base", layer.equals_base}});
  }
  return {{"path", report.path},
          {"base", or_null(report.base)},
          {"family", or_null(report.family)},
          {"dialect", report.dialect},
          {"scheme", report.scheme},
          {"healthy", !report.has_problems()},
          {"findings", findings},
          {"reasons", report.reasons},
          {"layers", layers},
          {"verified", report.verified},
          {"machine", machine_json(report.machine)}};
}

}  // namespace ditq
