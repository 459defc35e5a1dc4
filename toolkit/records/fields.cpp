#include "records/fields.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {

Fields::Fields(const Json& value, std::string path, std::string place)
    : value_(value), path_(std::move(path)), place_(std::move(place)) {
  if (value_.is_object()) return;
  throw Error(ErrorCode::json_type,
              place_.empty() ? "the document" : place_ + " is of another type",
              {.path = path_, .expected = "an object", .found = value_.type_name()});
}

std::string Fields::place_of(const std::string& key) const {
  return place_.empty() ? key : place_ + "." + key;
}

void Fields::fail(const std::string& key, const std::string& expected) const {
  const auto found = value_.find(key);
  const bool there = found != value_.end();
  throw Error(ErrorCode::json_type,
              place_of(key) + (there ? " is not what it should be" : " is missing"),
              {.path = path_,
               .expected = expected,
               .found = there ? dump_json(*found).substr(0, 200) : "nothing"});
}

void Fields::only(const std::vector<std::string>& keys) const {
  for (const auto& [key, unused] : value_.items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    throw Error(ErrorCode::json_type, "unknown member " + place_of(key),
                {.path = path_, .expected = fmt::format("one of {}", fmt::join(keys, ", "))});
  }
}

const Json& Fields::member(const std::string& key, const std::string& expected) const {
  const auto found = value_.find(key);
  if (found == value_.end()) fail(key, expected);
  return *found;
}

bool Fields::has(const std::string& key) const {
  const auto found = value_.find(key);
  return found != value_.end() && !found->is_null();
}

std::string Fields::text(const std::string& key) const {
  constexpr const char* kExpected = "a string that is not empty";
  const Json& value = member(key, kExpected);
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) fail(key, kExpected);
  return value.get<std::string>();
}

std::int64_t Fields::whole(const std::string& key) const {
  constexpr const char* kExpected = "a whole number of at least 0";
  const Json& value = member(key, kExpected);
  if (!value.is_number_integer() || value < 0 || value > std::int64_t{1} << 60)
    fail(key, kExpected);
  return value.get<std::int64_t>();
}

double Fields::number(const std::string& key) const {
  const Json& value = member(key, "a number");
  if (!value.is_number()) fail(key, "a number");
  return value.get<double>();
}

std::vector<std::string> Fields::texts(const std::string& key) const {
  constexpr const char* kExpected = "a list of strings";
  const Json& value = member(key, kExpected);
  if (!value.is_array()) fail(key, kExpected);
  std::vector<std::string> out;
  for (const Json& entry : value) {
    if (!entry.is_string()) fail(key, kExpected);
    out.push_back(entry.get<std::string>());
  }
  return out;
}

Fields Fields::object(const std::string& key) const {
  return {member(key, "an object"), path_, place_of(key)};
}

std::vector<Fields> Fields::objects(const std::string& key) const {
  const Json& value = member(key, "a list of objects");
  if (!value.is_array()) fail(key, "a list of objects");
  std::vector<Fields> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    out.emplace_back(value[i], path_, fmt::format("{}[{}]", place_of(key), i));
  }
  return out;
}

std::string Fields::text_or(const std::string& key, const std::string& otherwise) const {
  return has(key) ? text(key) : otherwise;
}

std::optional<std::int64_t> Fields::optional_whole(const std::string& key) const {
  return has(key) ? std::optional(whole(key)) : std::nullopt;
}

std::optional<double> Fields::optional_number(const std::string& key) const {
  return has(key) ? std::optional(number(key)) : std::nullopt;
}

}  // namespace ditq
