#pragma once
// Members of JSON documents that people write by hand, with errors that name file, key and what is wrong.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace ditq {

/// An object of a document, and where it stands there.
class Fields {
 public:
  /// `value` must outlive this; `place` names it in errors: "validation.scope", or "" for the document.
  /// Errors: json_type (no object).
  Fields(const Json& value, std::string path, std::string place = "");

  bool has(const std::string& key) const;  ///< there, and not null
  std::string text(const std::string& key) const;
  std::int64_t whole(const std::string& key) const;  ///< at least 0
  double number(const std::string& key) const;       ///< may be infinite: PSNR of equal pictures
  std::vector<std::string> texts(const std::string& key) const;
  Fields object(const std::string& key) const;
  /// The members of an array of objects.
  std::vector<Fields> objects(const std::string& key) const;
  std::string text_or(const std::string& key, const std::string& otherwise) const;
  std::optional<std::int64_t> optional_whole(const std::string& key) const;
  std::optional<double> optional_number(const std::string& key) const;

  const Json& value() const { return value_; }
  const std::string& path() const { return path_; }

  /// Raises json_type about a member. `expected` as in "a list of strings".
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;
  /// Raises json_type for a member that is not one of `keys`: what nobody reads may be misspelt.
  void only(const std::vector<std::string>& keys) const;

 private:
  const Json& member(const std::string& key, const std::string& expected) const;
  std::string place_of(const std::string& key) const;

  const Json& value_;
  std::string path_;
  std::string place_;
};

}  // namespace ditq
