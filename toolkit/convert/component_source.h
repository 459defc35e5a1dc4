#pragma once
// Where a component's weights and configuration come from, decided as SGLang's runtime decides it (bridge reference
// 4.1, 4.2), with the reasons.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/normalized_view.h"
#include "family/detect.h"
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
  Json
      config;  ///< architecture: generation_config.json overlaid by config.json, or deduced from the tensors
  std::string config_path;  ///< of config.json, or of the file that the config was deduced from
  std::shared_ptr<const Checkpoint> checkpoint;  ///< as stored
  std::shared_ptr<const TensorView>
      tensors;  ///< in the diffusers dialect and the one form per scheme
  QuantConfig quant;
  Detection detection;  ///< family and dialect as stored; the variant is that of `tensors`
  std::set<std::string> unswizzled;  ///< as NormalizedTensors has them
  std::set<std::string> undeclared;  ///< as NormalizedTensors has them
  std::vector<std::string> reasons;  ///< one sentence per decision
};

/// How a transformer is resolved.
struct ResolveOptions {
  Access access = Access::map;
  /// For whoever looks for what is wrong: gets what is wrong with the declaration ("" as module) or with a module,
  /// which the view then lacks; the tensors alone say what is quantized. Without it errors are raised.
  std::function<void(const std::string& module, const Error& error)> on_error = {};
  bool needs_architecture =
      true;  ///< false: without a config, one that cannot be deduced stays empty
};

/// `component`: a folder with config.json, its parent with a folder `transformer`, or a .safetensors file: then the
/// config.json beside it counts, else the `config` in its metadata, else the architecture is deduced from the tensors.
/// `weights`: empty, or a .safetensors file or a folder that replaces the weights only (--transformer-weights-path).
/// Errors: file_not_found, as Checkpoint::open, find_quantization and normalize; unknown_family, bad_config and
/// missing_tensor where the architecture cannot be deduced.
TransformerSource resolve_transformer(const std::string& component,
                                      const std::string& weights,
                                      const ResolveOptions& options = {});

}  // namespace ditq
