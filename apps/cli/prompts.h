#pragma once
// Prompts from files.

#include <string>
#include <vector>

namespace ditq {

/// The lines of a UTF-8 file, without line ends (LF or CRLF) and byte order mark; a last empty line is none. A file named
/// *.json holds a list of strings instead, so that a prompt may hold line ends.
/// Errors: file_not_found, file_unreadable, json_syntax, json_type.
std::vector<std::string> read_prompts(const std::string& path);

/// The prompts of --prompts-file: read_prompts without the blank ones, of which a note tells.
/// Errors: as read_prompts; bad_text when no prompt is left.
std::vector<std::string> read_prompts_to_generate(const std::string& path);

}  // namespace ditq
