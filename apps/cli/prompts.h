#pragma once
// Prompts from files.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ditq {

/// Largest prompts file, in bytes, and most prompts in it.
inline constexpr std::uint64_t kMaxPromptsFile = std::uint64_t{16} << 20;
inline constexpr std::size_t kMaxPrompts = 100'000;

/// The lines of a UTF-8 file, without line ends (LF or CRLF) and byte order mark; a last empty line is none. A file named
/// *.json holds a list of strings instead, so that a prompt may hold line ends.
/// Errors: file_not_found, file_unreadable (also for a file that is too large), json_syntax, json_type, bad_text (too
/// many prompts).
std::vector<std::string> read_prompts(const std::string& path);

/// The prompts of --prompts-file: read_prompts without the blank ones, of which a note tells.
/// Errors: as read_prompts; bad_text when no prompt is left.
std::vector<std::string> read_prompts_to_generate(const std::string& path);

}  // namespace ditq
