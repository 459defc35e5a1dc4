#pragma once
// Where a conversion reads and writes.

#include <string>
#include <vector>

namespace ditq {

/// The transformer folder that `path` means: itself when it holds config.json, else its transformer/ sub-folder; "~"
/// expanded, absolute. `flag` names the option in errors.
/// Errors: usage (empty path), file_not_found.
std::string resolve_transformer_dir(const std::string& path, const std::string& flag);

/// The torch checkpoint that `path` means: itself, or the backbone.pt in it.
/// Errors: usage (empty path), file_not_found.
std::string resolve_backbone(const std::string& path);

/// The folder that `path` means as a place to write to: "~" expanded, absolute, links resolved, need not exist.
/// Errors: usage (empty path, or a root folder).
std::string resolve_output_dir(const std::string& path);

/// Refuses an output folder that is, holds, or lies in one of the inputs (folders or files).
/// Errors: output_overlaps.
void check_overlap(const std::string& output, const std::vector<std::string>& inputs);

}  // namespace ditq
