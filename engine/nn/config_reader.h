#pragma once
// Reads a component's config.json value by value and reports everything that is wrong with it at
// once.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace ditq {

/// Keys that are absent take the value given; a value of another type or out of range is a problem,
/// and the read continues.
class ConfigReader {
 public:
  /// `what`: "CLIP text encoder", for messages; `path` names the document. Keeps a reference to
  /// `config`. Errors: json_type when the document is no object.
  ConfigReader(const Json& config, std::string what, std::string path);

  /// An integer within 1…most.
  std::int64_t integer(const char* key, std::int64_t absent, std::int64_t most);
  /// An integer within 0…most.
  std::int64_t index(const char* key, std::int64_t absent, std::int64_t most);
  /// A finite number.
  double number(const char* key, double absent);
  /// A finite number above zero.
  double positive(const char* key, double absent);
  /// true or false.
  bool flag(const char* key, bool absent);
  /// A string.
  std::string word(const char* key, const std::string& absent);
  /// A list of integers within 1…most, not empty.
  std::vector<std::int64_t> integers(const char* key,
                                     const std::vector<std::int64_t>& absent,
                                     std::int64_t most);
  /// A list of strings.
  std::vector<std::string> words(const char* key, const std::vector<std::string>& absent);
  /// Whether the key is there and not null.
  bool has(const char* key) const;

  /// Notes one thing that cannot be.
  void problem(const std::string& text);
  /// Errors: bad_config, listing all problems, when there are any.
  void finish() const;

 private:
  std::int64_t bounded(const char* key, std::int64_t absent, std::int64_t least, std::int64_t most);
  const Json* find(const char* key) const;
  void wrong_type(const char* key, const char* expected, const Json& found);

  const Json& config_;
  std::string what_;
  std::string path_;
  std::string problems_;
};

}  // namespace ditq
