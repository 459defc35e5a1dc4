#pragma once
// Where the documents about supported checkpoints lie: docs/support of the source tree that built the program, or
// share/ditq/support beside an installed one.

#include <string>

namespace ditq {

/// A file or folder of it: "records", "cases.json". Errors: file_not_found, naming `flag` as what gives another place.
std::string support_file(const std::string& name, const std::string& flag);

}  // namespace ditq
