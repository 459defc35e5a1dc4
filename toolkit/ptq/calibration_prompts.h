#pragma once
// The prompts of a calibration.

#include <cstdint>
#include <string>
#include <vector>

namespace ditq {

/// Largest prompts file, in bytes.
inline constexpr std::uint64_t kMaxCalibrationPrompts = std::uint64_t{64} << 20;

/// The lines of a file, each with its line terminator, as Python's text files give them: CRLF and CR become LF. Prompts
/// of the first ceil(calib_size / batch_size) batches; fewer where the file ends.
/// Errors: file_not_found, file_unreadable, bad_text (not UTF-8, or no line at all).
/// Source: ModelOpt reference 1.3.
std::vector<std::string> read_calibration_prompts(const std::string& path,
                                                  std::int64_t calib_size,
                                                  std::int64_t batch_size);

}  // namespace ditq
