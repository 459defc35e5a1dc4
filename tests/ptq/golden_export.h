#pragma once
// ModelOpt's recorded exports, and ours from the same checkpoints.

#include <filesystem>
#include <set>
#include <string>

#include "ptq/quantize.h"

namespace ditq::test {

/// A request that restores `component` of `model_folder` from `state` with the CPU's arithmetic, as the recorded exports
/// were made; `shown` is the path that documents name.
QuantizeRequest restore_request(const std::string& model,
                                const std::filesystem::path& model_folder,
                                const std::string& shown,
                                const std::filesystem::path& state,
                                const std::string& hf_folder);

/// What is different between two folders' tensors: one line for each name, dtype, shape or content, sorted.
std::set<std::string> tensor_differences(const std::filesystem::path& ours,
                                         const std::filesystem::path& theirs);

/// The file as it is.
std::string text_of(const std::filesystem::path& path);

}  // namespace ditq::test
