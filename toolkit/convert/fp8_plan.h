#pragma once
// Every decision of an FP8 conversion, made before anything is written.

#include <cstdint>
#include <string>
#include <vector>

#include "convert/build_fp8.h"
#include "convert/fp8_profile.h"
#include "convert/fp8_source.h"
#include "convert/output_plan.h"

namespace ditq {

struct Fp8Plan {
  std::vector<PlannedShard> shards;  ///< by name
  std::vector<std::string> ignore;   ///< the extended list
  BuildFp8Statistics statistics;
  std::uint64_t output_bytes = 0;  ///< of all tensors
};

/// Decides. Warns about what is accepted although something looks wrong. Documents and metadata are not filled in.
/// Errors: missing_tensor, wrong_shape, wrong_dtype, bad_scale, weight_without_scale, scale_without_weight,
/// not_quantized, unsupported, family_mismatch, pattern_too_costly.
/// Source: bridge reference 2.3 (steps 9 to 16), 2.4 and 2.6.
Fp8Plan plan_fp8(const BuildFp8Request& request,
                 const Fp8Source& source,
                 const Fp8Profile& profile);

}  // namespace ditq
