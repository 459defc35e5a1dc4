#include "records/cases.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

SupportCase read_case(const Fields& fields) {
  fields.only({"id", "former_ids", "task", "algorithm", "model", "flag", "checkpoint", "gpus",
               "width", "height", "num_frames", "num_inference_steps", "seed", "prompt",
               "consistency", "thresholds", "notes"});
  const auto list = [&](const char* key) {
    return fields.has(key) ? fields.texts(key) : std::vector<std::string>{};
  };
  if (!fields.has("consistency") || !fields.value().at("consistency").is_boolean()) {
    fields.fail("consistency", "true or false");
  }
  return {.id = fields.text("id"),
          .former_ids = list("former_ids"),
          .task = fields.text("task"),
          .algorithm = fields.text("algorithm"),
          .model = fields.text("model"),
          .flag = fields.text("flag"),
          .checkpoint = fields.text("checkpoint"),
          .gpus = fields.whole("gpus"),
          .width = fields.whole("width"),
          .height = fields.whole("height"),
          .num_frames = fields.optional_whole("num_frames"),
          .num_inference_steps = fields.whole("num_inference_steps"),
          .seed = static_cast<std::uint64_t>(fields.whole("seed")),
          .prompt = fields.text("prompt"),
          .consistency = fields.value().at("consistency").get<bool>(),
          .thresholds = read_bars(fields, "thresholds"),
          .notes = list("notes")};
}

}  // namespace

std::vector<SupportCase> read_cases(const std::string& path) {
  const Json document = read_json(path);
  const Fields root(document, path);
  std::vector<SupportCase> out;
  std::set<std::string> ids;
  for (const Fields& fields : root.objects("cases")) {
    out.push_back(read_case(fields));
    if (!ids.insert(out.back().id).second) fields.fail("id", "an id that no other case has");
  }
  return out;
}

const SupportCase& find_case(const std::vector<SupportCase>& cases, const std::string& id) {
  const auto found = std::find_if(cases.begin(), cases.end(), [&](const SupportCase& one) {
    const auto& former = one.former_ids;
    return one.id == id || std::find(former.begin(), former.end(), id) != former.end();
  });
  if (found != cases.end()) return *found;
  std::vector<std::string> ids;
  for (const SupportCase& one : cases) ids.push_back(one.id);
  throw Error(
      ErrorCode::usage, "--case: there is no such case",
      {.expected = fmt::format("one of {}", fmt::join(ids, ", ")), .found = "'" + id + "'"});
}

}  // namespace ditq
