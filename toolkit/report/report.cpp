#include "report/report.h"

#include <fmt/format.h>

#include "base/sha256.h"
#include "report/documents.h"
#include "report/html.h"
#include "report/picture_copies.h"
#include "report/sections.h"

namespace ditq {
namespace {

Node checked(const Json& document, DocumentKind kind, const std::string& name) {
  check_document(document, kind, name);
  return {document, name};
}

Node checked(const std::optional<Json>& document, DocumentKind kind, const std::string& name) {
  return document ? checked(*document, kind, name) : Node();
}

ReportView view_of(const ReportInput& input) {
  const ReportNames& names = input.names;
  ReportView view{
      .comparison = checked(input.comparison, DocumentKind::comparison, names.comparison),
      .bench = checked(input.bench, DocumentKind::bench, names.bench),
      .doctor = checked(input.doctor, DocumentKind::doctor, names.doctor),
      .inspect = checked(input.inspect, DocumentKind::inspect, names.inspect),
      .record = checked(input.record, DocumentKind::record, names.record),
      .runs = {},
      .pairs = &input.pairs};
  view.runs = read_runs(view.comparison);
  return view;
}

/// The bytes that 64 hexadecimal digits spell.
std::string bytes_of_hex(const std::string& digits) {
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

/// Nothing is loaded from anywhere, and no script runs but the page's own, whatever text came into the page.
std::string content_policy() {
  Sha256 digest;
  digest.update(page_script());
  return fmt::format(
      "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'",
      base64(bytes_of_hex(digest.finish())));
}

std::string head(const std::string& title) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n"
      "<style>{}</style>\n</head>\n",
      content_policy(), escaped(title), page_style());
}

/// A section and its name in the table of contents.
struct Part {
  const char* id;
  const char* name;
  std::string html;
};

std::string contents(const std::vector<Part>& parts) {
  std::string links;
  for (const Part& part : parts) {
    if (!part.html.empty()) links += fmt::format("<a href=\"#{}\">{}</a>\n", part.id, part.name);
  }
  return "<nav aria-label=\"Contents\">\n" + links + "</nav>\n";
}

}  // namespace

std::string html_report(const ReportInput& input) {
  const ReportView view = view_of(input);
  const std::string title = input.title.empty() ? default_title(view) : input.title;
  const std::vector<Part> parts = {{"pictures", "Pictures", pictures_section(view)},
                                   {"runs", "Runs", runs_section(view)},
                                   {"curves", "Steps", curves_section(view)},
                                   {"layers", "Weights", layers_section(view)},
                                   {"kept", "Kept in full precision", kept_section(view)},
                                   {"speed", "Speed", speed_section(view)},
                                   {"settings", "Settings", settings_section(view)}};
  std::string out =
      head(title) + "<body>\n<main>\n" + verdict_section(view, title) + contents(parts);
  for (const Part& part : parts) out += part.html;
  return out +
         "<footer>Made by <code>ditq report</code>. This page is one file and loads "
         "nothing.</footer>\n</main>\n<script>" +
         page_script() + "</script>\n</body>\n</html>\n";
}

}  // namespace ditq
