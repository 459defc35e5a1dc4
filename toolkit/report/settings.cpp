// Everything that someone needs to measure the same again: settings, both sides, versions, machine, commands, record.

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ditq {
namespace {

/// A value as a cell: long lists are cut, sentences stand on lines of their own.
std::string value_cell(const Json& value) {
  constexpr std::size_t kMostElements = 8;
  constexpr std::size_t kSentence = 40;
  if (!value.is_array() || value.empty()) return foreign(value_text(value));
  std::string out;
  const char* between = ", ";
  for (const Json& element : value) {
    if (element.is_string() && element.get_ref<const std::string&>().size() > kSentence) {
      between = "<br>";
    }
  }
  for (std::size_t i = 0; i < std::min(value.size(), kMostElements); ++i) {
    out += (i == 0 ? "" : between) + foreign(value_text(value[i]));
  }
  if (value.size() > kMostElements) out += fmt::format("{}… ({} in all)", between, value.size());
  return out;
}

/// A table of an object's members, without those that are null.
std::string members_table(const std::string& caption, const Node& object) {
  HtmlTable table(caption, {{"Name", "name"}, {"Value", "words"}});
  for (const auto& [key, value] : object.members()) {
    if (!value.empty()) table.add({escaped(key), value_cell(value.json())});
  }
  return table.empty() ? "" : table.html();
}

std::string titled(const std::string& title, const std::string& body) {
  return body.empty() ? "" : fmt::format("<div><h3>{}</h3>\n{}</div>\n", escaped(title), body);
}

/// Both sides beside each other: every key that one of them has.
std::string sides_table(const Node& sides) {
  HtmlTable table("What differs between the sides",
                  {{"", "name"}, {"Reference", "words"}, {"Candidate", "words"}});
  const auto cell = [](const Node& value) {
    return value.empty() ? std::string("–") : value_cell(value.json());
  };
  for (const auto& [key, value] : sides["reference"].members()) {
    const Node other = sides["candidate"][key];
    if (!value.empty() || !other.empty()) table.add({escaped(key), cell(value), cell(other)});
  }
  for (const auto& [key, value] : sides["candidate"].members()) {
    const bool only_here =
        !sides["reference"].json().is_object() || !sides["reference"].json().contains(key);
    if (only_here && !value.empty()) table.add({escaped(key), "–", cell(value)});
  }
  return table.empty() ? "" : table.html();
}

/// One argument as a shell needs it.
std::string quoted(const std::string& word) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// A command: words, or a line as it was typed.
std::string command_line(const Node& command) {
  if (command.json().is_string()) return command.text();
  std::vector<std::string> words;
  for (const Node& word : command.items()) words.push_back(quoted(word.text()));
  return fmt::format("{}", fmt::join(words, " "));
}

std::string commands(const ReportView& view) {
  std::vector<std::string> lines;
  const auto add = [&](const Node& command) {
    if (!command.empty())
      lines.push_back("<pre><code>" + escaped(command_line(command)) + "</code></pre>\n");
  };
  add(view.comparison["command"]);
  add(view.bench["command"]);
  for (const Node& command : view.record["validation"]["commands"].items()) add(command);
  std::string out;
  for (const std::string& line : lines) out += line;
  return out;
}

std::string files_table(const std::string& caption, const Node& files) {
  HtmlTable table(caption, {{"File", "name"}, {"Size", "number"}, {"SHA-256", "digest"}});
  for (const Node& file : files.items()) {
    table.add({foreign(file["name"].text()), bytes_text(file["bytes"].number()),
               "<code>" + escaped(file["sha256"].text()) + "</code>"});
  }
  return table.empty() ? "" : table.html();
}

/// What a record adds: whose checkpoint, its scope, its files.
std::string record_part(const Node& record) {
  if (record.empty()) return "";
  Json facts = Json::object();
  for (const auto& [key, value] : record.members()) {
    if (key != "validation" && key != "ditq_record" && !value.empty()) facts[key] = value.json();
  }
  const Node validation = record["validation"];
  for (const char* key : {"date", "case", "against"}) {
    if (!validation[key].empty()) facts[key] = validation[key].json();
  }
  return titled("Record", members_table("The record", Node(facts, "the record"))) +
         titled("What the record covers", members_table("Scope", validation["scope"])) +
         titled("Checkpoint", files_table("Files of the checkpoint", validation["checkpoint"])) +
         titled("Baseline", files_table("Files of the baseline", validation["baseline"]));
}

std::string machine_part(const ReportView& view) {
  const Node machine =
      view.bench["machine"].empty() ? view.doctor["machine"] : view.bench["machine"];
  if (machine.json().is_object()) {
    Json shown = machine.json();
    // The doctor counts bytes.
    if (const auto memory = shown.find("memory"); memory != shown.end() && memory->is_number()) {
      *memory = bytes_text(memory->get<double>()) + " available";
    }
    return members_table("Machine", Node(shown, "the machine"));
  }
  return machine.empty() ? "" : "<p>" + foreign(value_text(machine.json())) + "</p>\n";
}

}  // namespace

std::string settings_section(const ReportView& view) {
  const Node& comparison = view.comparison;
  const Node settings =
      comparison["settings"].empty() ? comparison["sampling_kwargs"] : comparison["settings"];
  const Node versions =
      comparison["versions"].empty() ? view.bench["versions"] : comparison["versions"];
  const std::string body =
      titled("The two sides", sides_table(comparison["sides"].empty() ? comparison["server_kwargs"]
                                                                      : comparison["sides"])) +
      "<div class=\"columns\">\n" +
      titled("Shared settings", members_table("Settings that both sides share", settings)) +
      titled("Settings of the benchmark",
             members_table("Settings of the benchmark", view.bench["settings"])) +
      titled("Versions", members_table("Versions", versions)) +
      titled("Machine", machine_part(view)) + "</div>\n" + record_part(view.record) +
      titled("Commands", commands(view));
  return section("settings", "Settings, versions, machine", body);
}

}  // namespace ditq
