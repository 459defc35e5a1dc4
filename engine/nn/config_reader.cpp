#include "nn/config_reader.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {

ConfigReader::ConfigReader(const Json& config, std::string what, std::string path)
    : config_(config), what_(std::move(what)), path_(std::move(path)) {
  if (config_.is_object()) return;
  throw Error(ErrorCode::json_type, fmt::format("the config of a {} must be an object", what_),
              {.path = path_});
}

const Json* ConfigReader::find(const char* key) const {
  const auto found = config_.find(key);
  return found == config_.end() ? nullptr : &*found;
}

bool ConfigReader::has(const char* key) const {
  const Json* found = find(key);
  return found != nullptr && !found->is_null();
}

void ConfigReader::wrong_type(const char* key, const char* expected, const Json& found) {
  problem(fmt::format("{} must be {}, found {}", key, expected, found.dump()));
}

std::int64_t ConfigReader::bounded(const char* key,
                                   std::int64_t absent,
                                   std::int64_t least,
                                   std::int64_t most) {
  const Json* found = find(key);
  if (found == nullptr) return absent;
  const std::string expected = fmt::format("an integer within {}…{}", least, most);
  // A number above 2^63 is unsigned in the document and would turn negative here.
  const bool fits = found->is_number_integer() &&
                    (!found->is_number_unsigned() || found->get<std::uint64_t>() <= INT64_MAX);
  if (fits && found->get<std::int64_t>() >= least && found->get<std::int64_t>() <= most) {
    return found->get<std::int64_t>();
  }
  wrong_type(key, expected.c_str(), *found);
  return absent;
}

std::int64_t ConfigReader::integer(const char* key, std::int64_t absent, std::int64_t most) {
  return bounded(key, absent, 1, most);
}

std::int64_t ConfigReader::index(const char* key, std::int64_t absent, std::int64_t most) {
  return bounded(key, absent, 0, most);
}

double ConfigReader::number(const char* key, double absent) {
  const Json* found = find(key);
  if (found == nullptr) return absent;
  if (found->is_number() && std::isfinite(found->get<double>())) return found->get<double>();
  wrong_type(key, "a finite number", *found);
  return absent;
}

double ConfigReader::positive(const char* key, double absent) {
  const double value = number(key, absent);
  if (value > 0) return value;
  problem(fmt::format("{} must be above zero, found {}", key, value));
  return absent;
}

bool ConfigReader::flag(const char* key, bool absent) {
  const Json* found = find(key);
  if (found == nullptr) return absent;
  if (found->is_boolean()) return found->get<bool>();
  wrong_type(key, "true or false", *found);
  return absent;
}

std::string ConfigReader::word(const char* key, const std::string& absent) {
  const Json* found = find(key);
  if (found == nullptr) return absent;
  if (found->is_string()) return found->get<std::string>();
  wrong_type(key, "a string", *found);
  return absent;
}

std::vector<std::int64_t> ConfigReader::integers(const char* key,
                                                 const std::vector<std::int64_t>& absent,
                                                 std::int64_t most) {
  const Json* found = find(key);
  if (found == nullptr) return absent;
  std::vector<std::int64_t> values;
  bool good = found->is_array() && !found->empty();
  for (std::size_t i = 0; good && i < found->size(); ++i) {
    const Json& item = (*found)[i];
    good = item.is_number_integer() && item.get<std::int64_t>() >= 1 &&
           item.get<std::int64_t>() <= most;
    if (good) values.push_back(item.get<std::int64_t>());
  }
  if (good) return values;
  wrong_type(key, fmt::format("a list of integers within 1…{}", most).c_str(), *found);
  return absent;
}

std::vector<std::string> ConfigReader::words(const char* key,
                                             const std::vector<std::string>& absent) {
  const Json* found = find(key);
  if (found == nullptr) return absent;
  std::vector<std::string> values;
  bool good = found->is_array();
  for (std::size_t i = 0; good && i < found->size(); ++i) {
    good = (*found)[i].is_string();
    if (good) values.push_back((*found)[i].get<std::string>());
  }
  if (good) return values;
  wrong_type(key, "a list of strings", *found);
  return absent;
}

void ConfigReader::problem(const std::string& text) {
  problems_ += (problems_.empty() ? "" : "; ") + text;
}

void ConfigReader::finish() const {
  if (problems_.empty()) return;
  throw Error(ErrorCode::bad_config,
              fmt::format("the config of the {} cannot be: {}", what_, problems_), {.path = path_});
}

}  // namespace ditq
