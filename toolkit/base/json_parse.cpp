#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace ditq {
namespace {

[[noreturn]] void raise_too_large(std::uint64_t size, const std::string& path) {
  throw Error(ErrorCode::json_too_large, "a JSON document is too large",
              {.path = path,
               .expected = fmt::format("at most {} bytes", kMaxJsonBytes),
               .found = fmt::format("{} bytes", size)});
}

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
/// The same behind the parser.
constexpr std::string_view kParsedMarker{"\0ditq:", 6};

/// Checks the depth and replaces bare NaN and infinities by marked strings.
std::string prepare(std::string_view text, const std::string& path) {
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

/// Builds the document from the parser's events. nlohmann's own builder looks every key of an object up among all
/// before it, which takes minutes for an object of a million members; this one hashes.
class Builder : public Json::json_sax_t {
 public:
  Json take() { return std::move(root_); }
  /// Why parsing stopped.
  const std::string& problem() const { return problem_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& text) override {
    if (!text.starts_with(kParsedMarker)) return add(std::move(text));
    const std::string_view word = std::string_view(text).substr(kParsedMarker.size());
    const double infinity = std::numeric_limits<double>::infinity();
    return add(word == "NaN" ? std::nan("") : word == "Infinity" ? infinity : -infinity);
  }

  bool key(string_t& text) override {
    if (text.starts_with(kParsedMarker)) {
      problem_ = "a number as a key";
      return false;
    }
    key_ = std::move(text);
    return true;
  }

  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    const std::string_view what = error.what();
    const std::size_t start = what.find("] ");
    problem_ = start == std::string_view::npos ? what : what.substr(start + 2);
    return false;
  }

 private:
  /// An array or object whose end has not come.
  struct Level {
    Json value;
    std::string key;                                       ///< under which the level above keeps it
    std::unordered_map<std::string, std::size_t> members;  ///< objects: position by key
  };

  bool open(Json value) {
    levels_.push_back({.value = std::move(value), .key = std::move(key_), .members = {}});
    return true;
  }

  bool close() {
    Level done = std::move(levels_.back());
    levels_.pop_back();
    key_ = std::move(done.key);
    return add(std::move(done.value));
  }

  bool add(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = levels_.back();
    if (level.value.is_array()) {
      level.value.get_ref<Json::array_t&>().push_back(std::move(value));
      return true;
    }
    // A vector of pairs behind its map's interface.
    auto& object = level.value.get_ref<Json::object_t&>();
    const auto [place, added] = level.members.try_emplace(key_, object.size());
    if (added) {
      object.emplace_back(std::move(key_), std::move(value));
    } else {
      (object.begin() + static_cast<std::ptrdiff_t>(place->second))->second = std::move(value);
    }
    return true;
  }

  Json root_;
  std::vector<Level> levels_;
  std::string key_;
  std::string problem_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& path) {
  if (text.size() > kMaxJsonBytes) raise_too_large(text.size(), path);
  const std::string prepared = prepare(text, path);
  Builder builder;
  if (Json::sax_parse(prepared, &builder)) return builder.take();
  throw Error(ErrorCode::json_syntax, "not JSON: " + builder.problem(), {.path = path});
}

Json read_json(const std::string& path) {
  // Measured first, so that what is too large is not read.
  if (const std::uint64_t size = InputFile::open(path)->size(); size > kMaxJsonBytes) {
    raise_too_large(size, path);
  }
  return parse_json(read_text(path, kMaxJsonBytes), path);
}

}  // namespace ditq
