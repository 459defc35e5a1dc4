#pragma once
// The config.json of a ModelOpt export, as far as converters read it.

#include <string>
#include <vector>

#include "base/json.h"

namespace ditq {

/// A config with a quantization_config of ModelOpt's.
struct ModeloptConfig {
  std::string path;   ///< of config.json
  Json config;        ///< an object
  Json quantization;  ///< its quantization_config: an object whose quant_method is "modelopt"
  std::vector<std::string> ignore;  ///< quantization's ignore list
};

/// Reads config.json of a transformer folder. `wanted` says in errors what the export should be.
/// Errors: as read_json; json_type, not_quantized, wrong_quant_method.
ModeloptConfig read_modelopt_config(const std::string& folder, const std::string& wanted);

}  // namespace ditq
