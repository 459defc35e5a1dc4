#pragma once
// Whether two saved trajectories answer the same request.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "format/safetensors.h"

namespace ditq {

/// The request that a trajectory's metadata state: the JSON document `request`, as `ditq generate` writes it, else the
/// single keys of one (prompt, seed, width, height, num_inference_steps, guidance_scale or guidance, …) as numbers or
/// text. Nothing where there are none.
/// Errors: json_syntax, json_type (a `request` that is no object).
std::optional<Json> recorded_request(const SafetensorsFile& file);

/// Raises when both files state their requests and these differ in anything that changes the result apart from what is
/// compared (checkpoints and their dtype), or when equal requests began with other latents. Warns where a file does not
/// state its request: then nobody knows. Returns what both state alike; an empty object where one states nothing.
/// Errors: unfair, naming every difference with both values; as recorded_request.
Json require_fair(const SafetensorsFile& reference, const SafetensorsFile& candidate);

}  // namespace ditq
