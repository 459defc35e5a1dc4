#pragma once
// Form 1 of `ditq compare`: results that were saved before.

#include "pipeline/engine.h"
#include "pipeline/requirements.h"

namespace ditq {

/// What a file of results holds.
enum class ResultKind { trajectory, picture };

/// Tells by the ending of the name: .safetensors or .png.
/// Errors: file_not_found; unsupported for folders and other endings, which are named.
ResultKind result_kind(const std::string& path);

/// The kind that both files have.
/// Errors: usage (one is missing, or their kinds differ); as result_kind.
ResultKind common_result_kind(const CompareRequest& request);

/// Reads both files and measures them; ssim only where a bar asks for it.
/// Errors: as compare.
Measurements measure_files(const CompareRequest& request,
                           ResultKind kind,
                           const std::vector<Requirement>& requirements);

}  // namespace ditq
