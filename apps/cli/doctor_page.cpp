#include "doctor_page.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "base/module_name.h"
#include "doctor/findings.h"
#include "text_table.h"

namespace ditq {
namespace {

using Align = TextTable::Align;

std::string layers_text(const std::vector<std::string>& layers) {
  constexpr std::size_t kListed = 6;
  const std::size_t listed = std::min(kListed, layers.size());
  return fmt::format(
      "{}{}", fmt::join(layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(listed), ", "),
      listed == layers.size() ? "" : fmt::format(" and {} more", layers.size() - listed));
}

/// Text in lines of the terminal, every one indented.
std::string paragraph(const std::string& text, std::size_t indent) {
  return std::string(indent, ' ') + wrap_text(text, terminal_columns(STDOUT_FILENO), indent);
}

std::string finding_text(const Finding& finding, const Style& style) {
  constexpr std::size_t kIndent = 4;
  const bool problem = finding.severity == Severity::problem;
  std::string out =
      "  " + (problem ? style.yellow("✗") : style.dim("·")) + " " + style.bold(finding.kind) + "\n";
  out += paragraph(finding.message, kIndent) + "\n";
  if (finding.layers.size() > 1) {
    out += style.dim(paragraph(layers_text(finding.layers), kIndent)) + "\n";
  }
  if (!finding.advice.empty()) out += paragraph(finding.advice, kIndent) + "\n";
  return out;
}

std::string findings_text(const DoctorReport& report, const Style& style) {
  std::string out;
  for (const Finding& finding : report.findings) out += finding_text(finding, style);
  if (report.has_problems()) return out;
  return "  " + style.green("✓") + " no problem found" +
         (report.base.empty() ? "; --base compares the weights with the original's" : "") + "\n" +
         out;
}

/// Layers of one role and encoding.
struct Role {
  std::string name;
  std::string stored;
  std::size_t count = 0;
  double least = 0;
  double most = 0;
};

std::string errors_text(const Role& role) {
  const std::string least = error_text(role.least);
  const std::string most = error_text(role.most);
  return least == most ? least : fmt::format("{} … {}", least, most);
}

/// Errors by role; layers that are the base's bit for bit are counted.
std::string format_errors(const DoctorReport& report, bool layers, const Style& style) {
  std::map<std::tuple<std::string, std::string>, std::size_t> places;
  std::vector<Role> roles;
  std::size_t equal = 0;
  for (const ExaminedLayer& layer : report.layers) {
    if (!layer.error) continue;
    equal += layer.equals_base ? 1 : 0;
    if (layer.equals_base && !layers) continue;
    const std::string name = layers ? layer.name : folded_name(layer.name);
    const auto [place, is_new] = places.emplace(std::tuple(name, layer.stored), roles.size());
    if (is_new) roles.push_back({name, layer.stored, 0, *layer.error, *layer.error});
    Role& role = roles[place->second];
    ++role.count;
    role.least = std::min(role.least, *layer.error);
    role.most = std::max(role.most, *layer.error);
  }
  TextTable table({"layer", "stored", "×", "relative error"},
                  {Align::left, Align::left, Align::right, Align::left});
  for (const Role& role : roles) {
    table.add({role.name, role.stored, std::to_string(role.count), errors_text(role)});
  }
  std::string out = table.empty() ? std::string() : table.format(style);
  if (equal > 0)
    out += fmt::format("  {} of {} layers are the base's\n", equal, report.layers.size());
  return out.empty() ? out : out + "\n";
}

std::string lines(const std::vector<std::string>& statements) {
  std::string out;
  for (const std::string& statement : statements) {
    out += paragraph(statement, 2) + "\n";
  }
  return out;
}

}  // namespace

std::string format_doctor(const DoctorReport& report, bool layers, const Style& style) {
  const std::string title = report.title.empty() ? "Unknown" : report.title;
  std::string out =
      style.bold(fmt::format("{} · {} · {} names", title, report.scheme, report.dialect)) + "\n  " +
      report.path + "\n";
  if (!report.base.empty()) out += "  base " + report.base + "\n";
  out += "\n" + findings_text(report, style) + "\n";
  out += format_errors(report, layers, style);
  if (!report.reasons.empty()) {
    out += style.bold("How it is read") + "\n" + lines(report.reasons) + "\n";
  }
  return out + style.bold("This machine") + "\n" + lines(report.machine.statements);
}

}  // namespace ditq
