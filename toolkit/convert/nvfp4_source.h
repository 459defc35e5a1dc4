#pragma once
// What an NVFP4 conversion reads: the patterns, the export with its config, the BF16 base.

#include <string>
#include <vector>

#include "convert/build_nvfp4.h"
#include "convert/ignore_list.h"
#include "convert/modelopt_config.h"
#include "format/checkpoint.h"

namespace ditq {

/// One pattern of modules that stay in BF16.
struct KeepPattern {
  std::string text;
  bool from_preset = false;
  IgnoreList matcher;  ///< patterns are spelled and matched as ignore entries are

  bool matches(const std::string& module) const { return matcher.matches({module}); }
};

/// Preset and user patterns, in this order. Errors: usage (unknown preset), bad_pattern.
/// Source: bridge reference 3.2, steps 1 and 6.
std::vector<KeepPattern> compile_keep_patterns(const BuildNvfp4Request& request);

/// Opened inputs.
struct Nvfp4Source {
  std::string folder;  ///< the export's transformer folder
  ModeloptConfig config;
  Checkpoint checkpoint;
  Checkpoint base;
  std::vector<std::string> inputs;  ///< all folders read, for overlap checks
};

/// Opens everything that the request names. Errors: see build_nvfp4.
Nvfp4Source open_nvfp4_source(const BuildNvfp4Request& request);

}  // namespace ditq
