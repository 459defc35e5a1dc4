#pragma once
// What an FP8 conversion reads: the export with its config, the calibration, the BF16 base.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/build_fp8.h"
#include "convert/fp8_profile.h"
#include "convert/scale_map.h"
#include "format/checkpoint.h"

namespace ditq {

/// Opened and checked inputs.
struct Fp8Source {
  std::string folder;       ///< the export's transformer folder
  std::string config_path;  ///< its config.json
  Json config;              ///< an object
  Json
      quantization;  ///< its quantization_config: an object, quant_method checked, quant_algo "FP8"
  std::vector<std::string> ignore;  ///< quantization's ignore list
  Checkpoint checkpoint;
  const FamilySpec* merged = nullptr;  ///< the family whose merged export this is
  Json merged_config;                  ///< then the transformer's config from the metadata
  AmaxTable amax;
  std::optional<Checkpoint> base;   ///< opened when the profile has patterns and a base was given
  std::vector<std::string> inputs;  ///< all folders and files read, for overlap checks
};

/// Opens everything that the request names; `profile` is chosen on the way.
/// Errors: see build_fp8.
Fp8Source open_fp8_source(const BuildFp8Request& request, Fp8Profile& profile);

}  // namespace ditq
