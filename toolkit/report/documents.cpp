#include "report/documents.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace ditq {
namespace {

/// What writes a kind, and the keys that tell it: one of each group has to be there.
struct Kind {
  const char* command;
  std::vector<std::vector<std::string>> keys;
};

Kind facts(DocumentKind kind) {
  switch (kind) {
    case DocumentKind::comparison:
      return {"ditq compare --output-json", {{"trajectory_metrics", "output_metrics", "runs"}}};
    case DocumentKind::bench:
      return {"ditq bench --output-json", {{"speedup"}, {"reference"}, {"candidate"}}};
    case DocumentKind::doctor:
      return {"ditq doctor --json", {{"healthy"}, {"findings"}, {"layers"}}};
    case DocumentKind::inspect:
      return {"ditq inspect --json --layers", {{"kind"}, {"layers", "components"}}};
    case DocumentKind::record:
      return {"ditq validate", {{"ditq_record"}}};
  }
  return {};
}

}  // namespace

void check_document(const Json& document, DocumentKind kind, const std::string& name) {
  const Kind known = facts(kind);
  const std::string expected = fmt::format("what `{}` writes", known.command);
  if (!document.is_object()) {
    throw Error(ErrorCode::json_type, "the document is of another kind",
                {.path = name, .expected = expected, .found = document.type_name()});
  }
  for (const std::vector<std::string>& group : known.keys) {
    const auto is_there = [&](const std::string& key) { return document.contains(key); };
    if (std::any_of(group.begin(), group.end(), is_there)) continue;
    throw Error(ErrorCode::json_type,
                fmt::format("the document is of another kind: it has no key '{}'",
                            fmt::join(group, "' or '")),
                {.path = name, .expected = expected, .found = "another object"});
  }
}

}  // namespace ditq
