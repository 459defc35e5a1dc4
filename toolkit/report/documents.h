#pragma once
// Is a document of the kind that it is given as?

#include <string>

#include "base/json.h"

namespace ditq {

/// Kinds of documents that a report reads.
enum class DocumentKind { comparison, bench, doctor, inspect, record };

/// Raises for what is not what the command of that kind writes. `name` is the document in the message.
/// Errors: json_type, naming the key that is missing.
void check_document(const Json& document, DocumentKind kind, const std::string& name);

}  // namespace ditq
