#pragma once
// Reading documents from outside: what is absent is empty, what is of another type is an error that names document and key.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace ditq {

/// One place in a document, which has to outlive it.
class Node {
 public:
  /// The whole document; `document` names it in errors.
  Node(const Json& value, std::string document);
  /// No document at all: every member is empty.
  Node() = default;

  /// Whether there is nothing, or null.
  bool empty() const { return value_ == nullptr || value_->is_null(); }
  /// A member of an object; empty when it or the object is absent. Errors: json_type for what is no object.
  Node operator[](const std::string& key) const;
  /// A number, NaN and infinities included. Errors: json_type.
  std::optional<double> number() const;
  /// A text, or "". Errors: json_type.
  std::string text() const;
  /// Errors: json_type.
  std::optional<bool> flag() const;
  /// An array's elements. Errors: json_type.
  std::vector<Node> items() const;
  /// An object's members in their order. Errors: json_type.
  std::vector<std::pair<std::string, Node>> members() const;
  /// The value itself; null where empty.
  const Json& json() const;

 private:
  Node(const Json* value, std::string document, std::string key);
  [[noreturn]] void raise(const char* expected) const;

  const Json* value_ = nullptr;
  std::string document_;
  std::string key_;  ///< "runs[2].prompt"
};

}  // namespace ditq
