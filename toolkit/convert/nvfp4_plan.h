#pragma once
// Every decision of an NVFP4 conversion, made before anything is written.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/build_nvfp4.h"
#include "convert/nvfp4_source.h"
#include "convert/output_plan.h"

namespace ditq {

/// The whole output.
struct Nvfp4Plan {
  std::vector<PlannedShard> shards;  ///< by name; tensors of the export and of the base, all copied
  std::string config;                ///< text of config.json
  std::string index_name;            ///< file name of the index
  std::string index;                 ///< its text
  BuildNvfp4Statistics statistics;
  std::uint64_t output_bytes = 0;  ///< of all tensors
};

/// Decides, checks (nvfp4_checks.h), and makes the documents byte for byte. Warns about what is
/// accepted although something looks wrong.
/// Errors: pattern_too_costly, family_mismatch, those of check_nvfp4_modules.
/// Source: bridge reference 1.5 and 3.2.
Nvfp4Plan plan_nvfp4(const BuildNvfp4Request& request,
                     const Nvfp4Source& source,
                     const std::vector<KeepPattern>& patterns);

}  // namespace ditq
