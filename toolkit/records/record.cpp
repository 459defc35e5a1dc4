#include "records/record.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

bool is_digest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_date(const std::string& text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == '-' || (c >= '0' && c <= '9'); });
}

std::vector<RecordedFile> read_files(const Fields& owner, const std::string& key) {
  std::vector<RecordedFile> out;
  for (const Fields& entry : owner.objects(key)) {
    entry.only({"name", "bytes", "sha256"});
    out.push_back({.name = entry.text("name"),
                   .bytes = static_cast<std::uint64_t>(entry.whole("bytes")),
                   .sha256 = entry.text("sha256")});
    if (!is_digest(out.back().sha256)) entry.fail("sha256", "64 lower-case hexadecimal digits");
  }
  if (out.empty()) owner.fail(key, "the files that were validated, with their digests");
  return out;
}

ValidationScope read_scope(const Fields& fields) {
  fields.only({"components", "width", "height", "num_frames", "num_inference_steps", "prompts",
               "runs", "dtype", "device", "arithmetic"});
  ValidationScope out{.components = fields.texts("components"),
                      .width = fields.whole("width"),
                      .height = fields.whole("height"),
                      .num_frames = fields.whole("num_frames"),
                      .num_inference_steps = fields.whole("num_inference_steps"),
                      .prompts = fields.whole("prompts"),
                      .runs = fields.whole("runs"),
                      .dtype = fields.text("dtype"),
                      .device = fields.text("device"),
                      .arithmetic = fields.text("arithmetic")};
  if (out.components.empty()) fields.fail("components", "at least one component");
  for (const char* key :
       {"width", "height", "num_frames", "num_inference_steps", "prompts", "runs"}) {
    if (fields.whole(key) == 0) fields.fail(key, "a number of at least 1");
  }
  return out;
}

std::map<std::string, double> read_results(const Fields& fields) {
  std::map<std::string, double> out;
  for (const auto& [key, unused] : fields.value().items()) out[key] = fields.number(key);
  return out;
}

Validation read_validation(const Fields& fields) {
  fields.only({"date", "case", "against", "scope", "thresholds", "results", "findings", "speed",
               "checkpoint", "baseline", "versions", "commands"});
  const Fields versions = fields.object("versions");
  Validation out{.date = fields.text("date"),
                 .case_id = fields.text_or("case", ""),
                 .against = fields.text("against"),
                 .scope = read_scope(fields.object("scope")),
                 .thresholds = read_bars(fields, "thresholds"),
                 .results = read_results(fields.object("results")),
                 .findings = fields.texts("findings"),
                 .speed = std::nullopt,
                 .checkpoint = read_files(fields, "checkpoint"),
                 .baseline = read_files(fields, "baseline"),
                 .ditq = versions.text("ditq"),
                 .libtorch = versions.text("libtorch"),
                 .commands = fields.texts("commands")};
  if (!is_date(out.date)) fields.fail("date", "a day as 2026-11-23");
  if (out.thresholds.empty()) fields.fail("thresholds", "at least one bar: nothing was required");
  if (out.commands.empty()) fields.fail("commands", "the commands that were run");
  for (const Bar& bar : out.thresholds) {
    if (!out.results.contains(bar.metric)) {
      fields.fail("results", fmt::format("a result for the threshold {}", bar.text()));
    }
  }
  if (fields.has("speed")) {
    const Fields speed = fields.object("speed");
    speed.only({"denoise", "low", "high"});
    out.speed = {.denoise = speed.number("denoise"),
                 .low = speed.number("low"),
                 .high = speed.number("high")};
  }
  return out;
}

Json files_json(const std::vector<RecordedFile>& files) {
  Json out = Json::array();
  for (const RecordedFile& file : files) {
    out.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return out;
}

Json scope_json(const ValidationScope& scope) {
  return {{"components", scope.components},
          {"width", scope.width},
          {"height", scope.height},
          {"num_frames", scope.num_frames},
          {"num_inference_steps", scope.num_inference_steps},
          {"prompts", scope.prompts},
          {"runs", scope.runs},
          {"dtype", scope.dtype},
          {"device", scope.device},
          {"arithmetic", scope.arithmetic}};
}

Json validation_json(const Validation& validation) {
  Json results = Json::object();
  for (const auto& [metric, value] : validation.results) results[metric] = value;
  Json out = {{"date", validation.date},
              {"case", validation.case_id.empty() ? Json(nullptr) : Json(validation.case_id)},
              {"against", validation.against},
              {"scope", scope_json(validation.scope)},
              {"thresholds", to_json(validation.thresholds)},
              {"results", results},
              {"findings", validation.findings},
              {"speed", nullptr},
              {"checkpoint", files_json(validation.checkpoint)},
              {"baseline", files_json(validation.baseline)},
              {"versions", {{"ditq", validation.ditq}, {"libtorch", validation.libtorch}}},
              {"commands", validation.commands}};
  if (validation.speed) {
    out["speed"] = {{"denoise", validation.speed->denoise},
                    {"low", validation.speed->low},
                    {"high", validation.speed->high}};
  }
  return out;
}

}  // namespace

std::vector<std::string> shortfalls(const Validation& validation) {
  std::vector<std::string> out = validation.findings;
  for (const Bar& bar : validation.thresholds) {
    const double result = validation.results.at(bar.metric);
    if (bar.holds(result)) continue;
    out.push_back(
        fmt::format("{} is {:.6g}, required {} {}", bar.metric, result, bar.op, bar.value));
  }
  return out;
}

SupportRecord parse_record(const Json& document, const std::string& path) {
  const Fields fields(document, path);
  fields.only({"ditq_record", "algorithm", "base_model", "family", "repository", "flag",
               "documented", "caveats", "validation"});
  if (fields.whole("ditq_record") != kRecordForm) {
    fields.fail("ditq_record",
                fmt::format("{}, the form of records that this ditq reads", kRecordForm));
  }
  SupportRecord out{.path = path,
                    .algorithm = fields.text("algorithm"),
                    .base_model = fields.text("base_model"),
                    .family = fields.text("family"),
                    .repository = fields.text_or("repository", ""),
                    .flag = fields.text("flag"),
                    .documented = fields.text_or("documented", ""),
                    .caveats = fields.texts("caveats"),
                    .validation = std::nullopt};
  if (!fields.value().contains("validation")) {
    fields.fail("validation", "an object, or null where nothing was validated");
  }
  if (fields.has("validation")) out.validation = read_validation(fields.object("validation"));
  return out;
}

SupportRecord read_record(const std::string& path) {
  return parse_record(read_json(path), path);
}

Json to_json(const SupportRecord& record) {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
  };
  return {{"ditq_record", kRecordForm},
          {"algorithm", record.algorithm},
          {"base_model", record.base_model},
          {"family", record.family},
          {"repository", or_null(record.repository)},
          {"flag", record.flag},
          {"documented", or_null(record.documented)},
          {"caveats", record.caveats},
          {"validation", record.validation ? validation_json(*record.validation) : Json(nullptr)}};
}

std::vector<SupportRecord> read_records(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> paths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".json") paths.push_back(entry->path().string());
  }
  if (error) {
    throw Error(
        ErrorCode::file_not_found, "the folder of records cannot be read",
        {.path = folder, .found = error.message(), .advice = "--records names another one"});
  }
  std::sort(paths.begin(), paths.end());
  std::vector<SupportRecord> out;
  for (const std::string& path : paths) out.push_back(read_record(path));
  return out;
}

}  // namespace ditq
