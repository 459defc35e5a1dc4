#pragma once
// What makes two calibrations the same one: only then may a file of the first be continued by the second.

#include <cstdint>
#include <string>

#include "base/json.h"
#include "pipeline/pipeline.h"

namespace ditq {

/// Everything that the result depends on, as it stands in state files. `settings`: the request's, resolved.
/// Errors: as open_component, file_not_found.
Json calibration_identity(const CalibrateRequest& request,
                          const PictureRequest& settings,
                          const Pipeline& pipeline);

/// Raises when the file at `path` belongs to another calibration, naming the first value that differs. Errors: usage.
void check_identity(const Json& identity, const Json& found, const std::string& path);

/// The generator's seed for the initial noise of a call: calls and passes count from 0. Every pair has a stream of its
/// own, which does not depend on how many others there are.
std::uint64_t noise_seed(std::uint64_t seed, std::int64_t pass, std::int64_t call);

}  // namespace ditq
