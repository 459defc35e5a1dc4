#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

void append_escaped(std::string& out, std::uint32_t unit) {
  out += fmt::format("\\u{:04x}", unit);
}

void append_string(std::string& out, const std::string& text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      ++i;
      switch (c) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        case '\b':
          out += "\\b";
          break;
        case '\f':
          out += "\\f";
          break;
        default:
          if (c < 0x20)
            append_escaped(out, c);
          else
            out += static_cast<char>(c);
      }
      continue;
    }
    // The parser has checked that the text is UTF-8.
    const std::size_t length = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    DITQ_ASSERT(i + length <= text.size());
    std::uint32_t point = c & (0xFFU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      point = point << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    }
    i += length;
    if (point < 0x10000) {
      append_escaped(out, point);
    } else {
      append_escaped(out, 0xD800 + ((point - 0x10000) >> 10));
      append_escaped(out, 0xDC00 + ((point - 0x10000) & 0x3FF));
    }
  }
  out += '"';
}

/// Python's repr(float): shortest digits that read back, exponent below 1e-4 and from 1e16 on.
std::string python_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  const double magnitude = std::fabs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  std::array<char, 400> buffer{};
  const auto result =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(buffer.data(), result.ptr);
  if (!exponent && text.find('.') == std::string::npos) text += ".0";
  return text;
}

class Dumper {
 public:
  explicit Dumper(JsonStyle style) : style_(style) {}

  std::string text(const Json& value) {
    append(value, 0);
    return std::move(out_);
  }

 private:
  void append(const Json& value, int level) {
    switch (value.type()) {
      case Json::value_t::object:
        return append_object(value, level);
      case Json::value_t::array:
        return append_array(value, level);
      case Json::value_t::string:
        return append_string(out_, value.get_ref<const std::string&>());
      case Json::value_t::number_float:
        out_ += python_float(value.get<double>());
        return;
      default:
        out_ += value.dump();
        return;
    }
  }

  void append_object(const Json& object, int level) {
    std::vector<std::pair<const std::string*, const Json*>> members;
    for (const auto& [key, value] : object.items()) members.emplace_back(&key, &value);
    // UTF-8 bytes order as code points do, which is how Python sorts str.
    if (style_.sort_keys) {
      std::stable_sort(members.begin(), members.end(),
                       [](const auto& a, const auto& b) { return *a.first < *b.first; });
    }
    open('{');
    for (std::size_t i = 0; i < members.size(); ++i) {
      separate(i, level + 1);
      append_string(out_, *members[i].first);
      out_ += ": ";
      append(*members[i].second, level + 1);
    }
    close('}', members.empty(), level);
  }

  void append_array(const Json& array, int level) {
    open('[');
    std::size_t i = 0;
    for (const auto& value : array) {
      separate(i++, level + 1);
      append(value, level + 1);
    }
    close(']', array.empty(), level);
  }

  void open(char bracket) { out_ += bracket; }

  void separate(std::size_t index, int level) {
    if (index > 0) out_ += style_.indent < 0 ? ", " : ",";
    new_line(level);
  }

  void close(char bracket, bool empty, int level) {
    if (!empty) new_line(level);
    out_ += bracket;
  }

  void new_line(int level) {
    if (style_.indent < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(style_.indent * level), ' ');
  }

  JsonStyle style_;
  std::string out_;
};

[[noreturn]] void raise_member_error(const std::string& key,
                                     const std::string& path,
                                     const char* expected,
                                     const Json* found) {
  throw Error(ErrorCode::json_type, fmt::format("key '{}'", key),
              {.path = path,
               .expected = expected,
               .found = found == nullptr ? "nothing" : found->type_name()});
}

}  // namespace

std::string dump_json(const Json& value, JsonStyle style) {
  return Dumper(style).text(value);
}

const Json& require_member(const Json& object, const std::string& key, const std::string& path) {
  if (!object.is_object()) {
    throw Error(ErrorCode::json_type, "the document is not what it should be",
                {.path = path, .expected = "an object", .found = object.type_name()});
  }
  const auto found = object.find(key);
  if (found == object.end()) raise_member_error(key, path, "a value", nullptr);
  return *found;
}

std::string require_string(const Json& object, const std::string& key, const std::string& path) {
  const Json& value = require_member(object, key, path);
  if (!value.is_string()) raise_member_error(key, path, "a string", &value);
  return value.get<std::string>();
}

}  // namespace ditq
