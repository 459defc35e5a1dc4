#pragma once
// How a measured run was made, in one form: ditq's perf.json has it under meta.settings, files of others beside
// meta.prompt, if at all.

#include <string>

#include "base/json.h"

namespace ditq {

/// Most settings of one file.
inline constexpr std::size_t kMaxPerfSettings = 1000;

/// The settings of perf.json's `meta`: its `settings`, and of the keys beside them those that name a setting, at their
/// place in the tree ("num_gpus" becomes topology.num_gpus). Nulls are left out: the file does not know them.
/// Errors: json_type (a setting of another type than it has, too many); bad_config where the two places disagree.
Json perf_settings(const Json& meta, const std::string& path);

}  // namespace ditq
