#include "report/node.h"

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {

Node::Node(const Json& value, std::string document)
    : value_(&value), document_(std::move(document)) {}

Node::Node(const Json* value, std::string document, std::string key)
    : value_(value), document_(std::move(document)), key_(std::move(key)) {}

void Node::raise(const char* expected) const {
  throw Error(
      ErrorCode::json_type,
      key_.empty() ? "the document is not what it should be" : fmt::format("key '{}'", key_),
      {.path = document_, .expected = expected, .found = value_->type_name()});
}

Node Node::operator[](const std::string& key) const {
  if (empty()) return {};
  if (!value_->is_object()) raise("an object");
  const auto found = value_->find(key);
  if (found == value_->end()) return {};
  return {&*found, document_, key_.empty() ? key : key_ + "." + key};
}

std::optional<double> Node::number() const {
  if (empty()) return std::nullopt;
  if (!value_->is_number()) raise("a number");
  return value_->get<double>();
}

std::string Node::text() const {
  if (empty()) return {};
  if (!value_->is_string()) raise("a string");
  return value_->get<std::string>();
}

std::optional<bool> Node::flag() const {
  if (empty()) return std::nullopt;
  if (!value_->is_boolean()) raise("true or false");
  return value_->get<bool>();
}

std::vector<Node> Node::items() const {
  if (empty()) return {};
  if (!value_->is_array()) raise("an array");
  std::vector<Node> out;
  for (std::size_t i = 0; i < value_->size(); ++i) {
    out.push_back({&(*value_)[i], document_, fmt::format("{}[{}]", key_, i)});
  }
  return out;
}

std::vector<std::pair<std::string, Node>> Node::members() const {
  if (empty()) return {};
  if (!value_->is_object()) raise("an object");
  std::vector<std::pair<std::string, Node>> out;
  for (const auto& [key, value] : value_->items()) {
    out.emplace_back(key, Node(&value, document_, key_.empty() ? key : key_ + "." + key));
  }
  return out;
}

const Json& Node::json() const {
  static const Json null;
  return value_ == nullptr ? null : *value_;
}

}  // namespace ditq
