#include "doctor/findings.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace ditq {

std::string error_text(double error) {
  if (!std::isfinite(error)) return "infinite";
  return error != 0 && error < 0.001 ? fmt::format("{:.1e}", error) : fmt::format("{:.2g}", error);
}

void Findings::add(const FindingText& text,
                   const std::string& layer,
                   std::optional<double> error,
                   std::optional<double> error_after) {
  const auto [place, is_new] = places_.emplace(text.kind + "\n" + text.many, entries_.size());
  if (is_new) entries_.push_back({.text = text, .layers = {}});
  Entry& entry = entries_[place->second];
  entry.layers.push_back(layer);
  if (!error) return;
  entry.error += *error;
  entry.error_after += error_after.value_or(0.0);
  ++entry.errors;
}

void Findings::add(const std::string& kind,
                   Severity severity,
                   const std::string& message,
                   const std::string& advice) {
  others_.push_back({.kind = kind,
                     .severity = severity,
                     .message = message,
                     .layers = {},
                     .error = {},
                     .error_after = {},
                     .advice = advice});
}

void Findings::add_content(const Error& error, const std::string& layer) {
  const ExitCode code = exit_code(error.code());
  const bool about_file = error.code() == ErrorCode::file_changed ||
                          error.code() == ErrorCode::file_unreadable ||
                          error.code() == ErrorCode::file_not_found;
  if (about_file || (code != ExitCode::bad_input && code != ExitCode::unsupported))
    throw Error(error);
  const ErrorFacts& facts = error.facts();
  std::string message = error.sentence();
  if (!facts.tensor.empty()) message += fmt::format(": '{}'", facts.tensor);
  if (!facts.expected.empty()) message += fmt::format(": expected {}", facts.expected);
  if (!facts.found.empty()) message += fmt::format(", found {}", facts.found);
  add(std::string(name(error.code())), Severity::problem, message, facts.advice);
  if (!layer.empty()) others_.back().layers.push_back(layer);
}

Finding Findings::finding_of(const Entry& entry) {
  const FindingText& text = entry.text;
  Finding out{.kind = text.kind,
              .severity = text.severity,
              .message = entry.layers.size() == 1
                             ? fmt::format(fmt::runtime(text.one), entry.layers.front())
                             : fmt::format(fmt::runtime(text.many), entry.layers.size()),
              .layers = entry.layers,
              .error = {},
              .error_after = {},
              .advice = text.advice};
  if (entry.errors == 0) return out;
  out.error = entry.error / static_cast<double>(entry.errors);
  out.message += fmt::format(": error {} as stored", error_text(*out.error));
  if (text.remedy.empty()) return out;
  out.error_after = entry.error_after / static_cast<double>(entry.errors);
  out.message += fmt::format(", {} after {}", error_text(*out.error_after), text.remedy);
  return out;
}

std::vector<Finding> Findings::finish() const {
  std::vector<Finding> out = others_;
  for (const Entry& entry : entries_) out.push_back(finding_of(entry));
  std::stable_partition(out.begin(), out.end(), [](const Finding& finding) {
    return finding.severity == Severity::problem;
  });
  return out;
}

}  // namespace ditq
