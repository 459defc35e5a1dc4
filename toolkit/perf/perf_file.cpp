#include "perf/perf_file.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "perf/perf_settings.h"

namespace ditq {
namespace {

/// One document and its name in errors.
class Reader {
 public:
  Reader(const Json& document, const std::string& path) : document_(document), path_(path) {}

  PerfFile read() const {
    if (!document_.is_object()) refuse("the document", "an object", document_.type_name());
    PerfFile out;
    out.path = path_;
    out.tag = text(document_, "tag", "tag");
    out.commit_hash = text(document_, "commit_hash", "commit_hash");
    out.total_ms = duration(document_, "total_duration_ms", "total_duration_ms");
    read_stages(out);
    read_steps(out);
    read_memory(out);
    read_meta(out);
    return out;
  }

 private:
  [[noreturn]] void refuse(const std::string& key,
                           const std::string& expected,
                           const std::string& found) const {
    throw Error(ErrorCode::json_type, fmt::format("perf.json: {} is not what it must be", key),
                {.path = path_,
                 .expected = expected,
                 .found = found,
                 .advice = "perf.json is what --perf-dump-path of sglang and of ditq writes"});
  }

  /// A member that may be missing or null, of this kind otherwise.
  const Json* member(const Json& object,
                     const char* name,
                     const std::string& key,
                     bool (Json::*is)() const noexcept,
                     const char* expected) const {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) return nullptr;
    if (!((*found).*is)()) refuse(key, expected, found->type_name());
    return &*found;
  }

  std::string text(const Json& object, const char* name, const std::string& key) const {
    const Json* value = member(object, name, key, &Json::is_string, "a string");
    return value == nullptr ? std::string() : value->get<std::string>();
  }

  /// A number that is finite and not negative, where there is one.
  std::optional<double> amount(const Json& object, const char* name, const std::string& key) const {
    const Json* value = member(object, name, key, &Json::is_number, "a number");
    if (value == nullptr) return std::nullopt;
    const auto number = value->get<double>();
    if (!std::isfinite(number) || number < 0) {
      refuse(key, "a finite number of at least 0", dump_json(*value));
    }
    return number;
  }

  double duration(const Json& object, const char* name, const std::string& key) const {
    const auto value = amount(object, name, key);
    if (!value) refuse(key, "a number of milliseconds", "nothing");
    return *value;
  }

  /// The entries of a list of objects, or none.
  const Json* entries(const char* name) const {
    const Json* list = member(document_, name, name, &Json::is_array, "a list of objects");
    if (list == nullptr) return nullptr;
    if (list->size() > kMaxPerfEntries) {
      refuse(name, fmt::format("at most {} entries", kMaxPerfEntries),
             std::to_string(list->size()));
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (!(*list)[i].is_object())
        refuse(fmt::format("{}[{}]", name, i), "an object", (*list)[i].type_name());
    }
    return list;
  }

  std::string stage_name(const Json& entry, const std::string& key) const {
    std::string out = text(entry, "name", key + ".name");
    if (out.empty()) refuse(key + ".name", "the name of a stage", "nothing");
    if (out.size() > kMaxPerfName) {
      refuse(key + ".name", fmt::format("at most {} bytes", kMaxPerfName),
             std::to_string(out.size()));
    }
    return is_denoising_step(out) ? kDenoisingLoop : out;
  }

  static bool is_denoising_step(std::string_view name) {
    constexpr std::string_view kPrefix = "denoising_step_";
    if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return false;
    return name.find_first_not_of("0123456789", kPrefix.size()) == std::string_view::npos;
  }

  void read_stages(PerfFile& out) const {
    const Json* list = entries("steps");
    if (list == nullptr) return;
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string key = fmt::format("steps[{}]", i);
      const std::string name = stage_name((*list)[i], key);
      const double milliseconds = duration((*list)[i], "duration_ms", key + ".duration_ms");
      const auto [place, is_new] = places.emplace(name, out.stages.size());
      if (is_new) {
        out.stages.push_back({.name = name, .milliseconds = milliseconds});
      } else {
        out.stages[place->second].milliseconds += milliseconds;
        ++out.stages[place->second].entries;
      }
    }
  }

  void read_steps(PerfFile& out) const {
    const Json* list = entries("denoise_steps_ms");
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      out.denoise_steps_ms.push_back(
          duration((*list)[i], "duration_ms", fmt::format("denoise_steps_ms[{}].duration_ms", i)));
    }
  }

  void read_memory(PerfFile& out) const {
    const Json* checkpoints = member(document_, "memory_checkpoints", "memory_checkpoints",
                                     &Json::is_object, "an object");
    if (checkpoints == nullptr) return;
    if (checkpoints->size() > kMaxPerfEntries) {
      refuse("memory_checkpoints", fmt::format("at most {} entries", kMaxPerfEntries),
             std::to_string(checkpoints->size()));
    }
    for (const auto& [name, checkpoint] : checkpoints->items()) {
      const std::string key = "memory_checkpoints." + name.substr(0, kMaxPerfName);
      if (!checkpoint.is_object()) refuse(key, "an object", checkpoint.type_name());
      const auto peak = amount(checkpoint, "peak_reserved_mb", key + ".peak_reserved_mb");
      if (peak) out.peak_reserved_mb = std::max(out.peak_reserved_mb.value_or(0), *peak);
    }
  }

  void read_meta(PerfFile& out) const {
    const Json* meta = member(document_, "meta", "meta", &Json::is_object, "an object");
    const bool stage = std::any_of(out.stages.begin(), out.stages.end(), [](const PerfStage& one) {
      return one.name == "DiffusersExecutionStage";
    });
    const bool backend = meta != nullptr && text(*meta, "backend", "meta.backend") == "diffusers";
    if (stage || backend) {
      throw Error(
          ErrorCode::bad_config,
          "this run fell back to SGLang's diffusers backend: it measures no native pipeline",
          {.path = path_,
           .expected = "a run of SGLang's native backend, or of ditq",
           .found = stage ? "the stage DiffusersExecutionStage" : "meta.backend diffusers"});
    }
    if (meta == nullptr) return;
    out.model = text(*meta, "model", "meta.model");
    out.settings = perf_settings(*meta, path_);
  }

  const Json& document_;
  const std::string& path_;
};

}  // namespace

std::optional<std::size_t> PerfFile::measured_steps() const {
  if (!denoise_steps_ms.empty()) return denoise_steps_ms.size();
  for (const PerfStage& stage : stages) {
    if (stage.name == kDenoisingLoop) return stage.entries;
  }
  return std::nullopt;
}

PerfFile read_perf(const std::string& path) {
  return parse_perf(read_json(path), path);
}

PerfFile parse_perf(const Json& document, const std::string& path) {
  return Reader(document, path).read();
}

}  // namespace ditq
