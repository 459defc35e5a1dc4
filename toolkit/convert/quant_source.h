#pragma once
// Which quantization a transformer's files declare, wherever they do: config.json, the shards' metadata, per-layer
// markers, or nothing but the tensors themselves.

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "family/dialect.h"
#include "format/checkpoint.h"
#include "quant/config.h"

namespace ditq {

/// Where to look.
struct QuantPlaces {
  const Checkpoint* checkpoint = nullptr;
  const Json* config = nullptr;  ///< the component's config; nullptr: none
  std::string config_path;
  std::string weights;  ///< the file or folder that replaces the component's weights; empty: none
  const DialectMark* mark =
      nullptr;  ///< naming scheme of the checkpoint, for inferred ignore lists
};

/// What was found.
struct QuantFinding {
  QuantConfig config;
  bool declared = false;  ///< by an algorithm; otherwise by layers, or inferred from tensors
  /// Formats of single layers ("nvfp4", "float8_e4m3fn"), by stored module.
  std::map<std::string, std::string> layers;
  bool comfy = false;  ///< layers carry ComfyUI's `comfy_quant` markers
  std::vector<std::string> reasons;
};

/// The declaration nearest to the weights counts. With replaced weights: their metadata (`_quantization_metadata`,
/// then `quantization_config`), the config.json beside them, the component's config; otherwise the component's
/// config, then the metadata. Where none names an algorithm: formats of single layers, in the metadata
/// ({"format_version", "layers"}) or in `comfy_quant` tensors; then the tensors: U8 weights with F8_E4M3 block scales
/// of two dimensions are NVFP4, F8_E4M3 weights with a scale a row and no input scale FP8 per channel and token, other
/// F8_E4M3 weights FP8, and all other weights are ignored layers.
/// Errors: as parse_quant_config; unsupported for a layer format that ditq does not load; wrong_dtype where the
/// tensors contradict a declared algorithm or a layer's format; not_quantized where it has no tensor of its kind.
/// Source: SGLang bridge reference 4.2 and 4.4, the newer rules; ComfyUI comfy/utils.py (convert_old_quants) and
/// comfy/ops.py for the markers: UTF-8 JSON {"format": ...} as a U8 tensor beside the weight.
QuantFinding find_quantization(const QuantPlaces& places);

/// What the tensors say, whatever is declared.
QuantFinding infer_quantization(const QuantPlaces& places);

/// A JSON document that must be an object. Errors: as read_json; json_type.
Json read_config_object(const std::string& path);

}  // namespace ditq
