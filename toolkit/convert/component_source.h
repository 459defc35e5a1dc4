#pragma once
// Where a component's weights and configuration come from, decided as SGLang's runtime decides it (bridge reference
// 4.1, 4.2), with the reasons.

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "format/tensor_view.h"
#include "quant/config.h"

namespace ditq {

/// The weight files of a component's folder, or a single file. In a folder with an index the index decides; otherwise
/// all *.safetensors count, only the `-mixed` ones where some are, and without precision variants (`.fp16.`, `.bf16.`,
/// `.fp32.`) of files that are there under their plain name.
/// Errors: as Checkpoint::open.
Checkpoint open_component(const std::string& path);

/// A transformer, ready to be built.
struct TransformerSource {
  Json config;  ///< architecture: generation_config.json overlaid by config.json
  std::string config_path;
  std::shared_ptr<const Checkpoint> checkpoint;  ///< as stored
  std::shared_ptr<const TensorView>
      tensors;  ///< in the diffusers dialect and the one form per scheme
  QuantConfig quant;
  std::vector<std::string> reasons;  ///< one sentence per decision
};

/// `component`: a folder with config.json, or its parent with a folder `transformer`. `weights`: empty, or a
/// .safetensors file or a folder that replaces the weights only (--transformer-weights-path).
/// Errors: file_not_found, as Checkpoint::open and parse_quant_config; not_quantized when a declared scheme has no
/// tensor of its kind.
TransformerSource resolve_transformer(const std::string& component, const std::string& weights);

}  // namespace ditq
