#pragma once
// Every decision of an FP8 conversion, made before anything is written.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "convert/build_fp8.h"
#include "convert/fp8_profile.h"
#include "convert/fp8_source.h"
#include "format/safetensors.h"

namespace ditq {

/// Where one output tensor's bytes come from: exactly one of the three.
struct PlannedTensor {
  TensorToWrite target;
  const TensorInfo* copy_of = nullptr;   ///< unchanged bytes of the export or the base
  const TensorInfo* quantize = nullptr;  ///< a weight to divide by `scale` and round to E4M3
  bool is_scale = false;                 ///< one float32: `scale`
  float scale = 0.0f;
};

struct PlannedShard {
  std::string name;                             ///< file name, as in the export
  std::vector<PlannedTensor> tensors;           ///< in no particular order
  std::map<std::string, std::string> metadata;  ///< of the output
};

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
