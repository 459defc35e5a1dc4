#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"

namespace ditq {
namespace {

/// Length of a bare NaN, Infinity or -Infinity at `position`, or 0.
std::size_t bare_number_length(std::string_view text, std::size_t position) {
  for (const std::string_view word :
       {std::string_view("NaN"), std::string_view("-Infinity"), std::string_view("Infinity")}) {
    if (text.substr(position, word.size()) == word) return word.size();
  }
  return 0;
}

/// Marks a bare NaN or infinity for the parser, which knows none: a string that no document contains by accident.
constexpr std::string_view kMarker = "\\u0000ditq:";

/// Checks the depth and replaces bare NaN and infinities by marked strings.
std::string prepare(std::string_view text, const std::string& path, bool& marked) {
  std::string out;
  out.reserve(text.size());
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      in_string = c != '"';
      continue;
    }
    if (const std::size_t length =
            c == 'N' || c == 'I' || c == '-' ? bare_number_length(text, i) : 0) {
      out += fmt::format("\"{}{}\"", kMarker, text.substr(i, length));
      marked = true;
      i += length - 1;
      continue;
    }
    in_string = c == '"';
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > kMaxJsonDepth) {
      throw Error(ErrorCode::json_too_deep, "JSON is nested too deeply",
                  {.path = path, .expected = fmt::format("at most {} levels", kMaxJsonDepth)});
    }
    out += c;
  }
  return out;
}

void restore_marked(Json& value) {
  if (value.is_structured()) {
    for (auto& member : value) restore_marked(member);
    return;
  }
  if (!value.is_string()) return;
  const auto& text = value.get_ref<const std::string&>();
  const std::string prefix = std::string(1, '\0') + "ditq:";
  if (!text.starts_with(prefix)) return;
  const std::string word = text.substr(prefix.size());
  const double infinity = std::numeric_limits<double>::infinity();
  value = word == "NaN" ? std::nan("") : word == "Infinity" ? infinity : -infinity;
}

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

Json parse_json(std::string_view text, const std::string& path) {
  bool marked = false;
  const std::string prepared = prepare(text, path, marked);
  try {
    Json value = Json::parse(prepared);
    if (marked) restore_marked(value);
    return value;
  } catch (const Json::parse_error& error) {
    const std::string_view what = error.what();
    const std::size_t text_start = what.find("] ");
    throw Error(
        ErrorCode::json_syntax,
        fmt::format("not JSON: {}", text_start == what.npos ? what : what.substr(text_start + 2)),
        {.path = path});
  }
}

Json read_json(const std::string& path) {
  return parse_json(read_text(path), path);
}

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
