#pragma once
// What is known about a model family, as data. One file per family fills one FamilySpec; nobody else asks which family
// a checkpoint belongs to, they read a field.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/json.h"

namespace ditq {

/// What a check needs to know about a stored tensor.
struct TensorFacts {
  Dtype dtype = Dtype::bf16;
  std::vector<std::int64_t> shape;
};

/// A checkpoint's tensors by name.
using TensorTable = std::map<std::string, TensorFacts>;

/// How a layer of a family may be stored and run.
enum class LayerUse {
  keep,  ///< full precision whatever the checkpoint says: norms, embedders, the last projection
  dequantize,   ///< ModelOpt quantizes it, SGLang's runtime turns it back to full precision at load
  quantizable,  ///< runs quantized in SGLang (bridge reference 4.3) and here
};

/// One module of a family. Sizes are products "<count><dim>" such as "6D", "D", "64", over the family's dims.
struct LayerRow {
  std::string name;    ///< module name; '#' stands for the block index
  std::string blocks;  ///< the dim that counts '#', empty without one
  std::string out;     ///< rows of the weight, and length of the bias
  std::string in;  ///< columns of the weight; empty for a norm, whose weight is [out] without bias
  LayerUse use = LayerUse::keep;
  bool bias = true;        ///< linears only
  std::string needs = {};  ///< a dim that is 0 where the model lacks the module
};

/// Values of a family's dims for one model, such as {"D", 3072}.
using DimValues = std::map<std::string, std::int64_t>;

/// A rewrite of a module name: a Python regular expression and its replacement.
struct NameRule {
  std::string pattern;
  std::string replacement;
};

/// A merged export of a whole model: one file holds several networks, and the transformer's config stands in its
/// metadata. Source: bridge reference 2.3 and 2.7.
struct MergedExport {
  std::string class_name;                      ///< _class_name of the export's config.json
  std::string prefix;                          ///< names of the transformer's tensors start with it
  std::vector<std::string> excluded_prefixes;  ///< and with none of these
  std::string metadata_key;                    ///< metadata value that is JSON
  std::string metadata_member;                 ///< its member that is the transformer's config
  std::string output_class_name;               ///< _class_name of the config that is written
  std::string checkpoint_prefix;  ///< what torch checkpoints and ignore lists have for `prefix`
};

/// A module of the diffusers dialect that is a run of rows of another dialect's module.
struct DialectPart {
  std::string module;  ///< '#' stands for the block index
  int rows = 1;        ///< its share of the rows: q, k, v and a 4 D wide MLP input have 1, 1, 1, 4
};

/// One module of another dialect: the rows of its parts, one after the other.
struct DialectRule {
  std::string module;  ///< '#' stands for the block index
  std::vector<DialectPart> parts;
  bool swap_halves = false;  ///< the first and second half of its rows stand the other way round
};

/// A naming scheme, known by the tensors that only it has. Rules and prefix lead to the diffusers dialect.
struct DialectMark {
  std::string dialect;               ///< "diffusers", "bfl", "comfy", "original"
  std::vector<std::string> tensors;  ///< all of these must be there
  std::string prefix = {};           ///< of every name; tensors without it belong to other networks
  std::vector<DialectRule> rules = {};  ///< modules without a rule keep their names
  /// NVFP4 of this dialect has the high nibble first and block scales in the 128x4 order, unless its config says else.
  bool packed_nvfp4 = false;
};

/// What generation starts from when nobody says otherwise.
struct GenerationDefaults {
  int steps = 50;
  double guidance = 0.0;
  int max_sequence_length = 512;  ///< tokens of the long text encoder
  bool dynamic_shifting = false;  ///< the schedule's shift depends on the picture's size
  double shift = 1.0;             ///< the schedule's shift where it does not
};

/// What ModelOpt calibrates the family with (its reference, 1.2).
struct CalibrationDefaults {
  int height = 1024;
  int width = 1024;
  double guidance = 0.0;
  int max_sequence_length = 512;
};

/// A published size or fine-tune of the family.
struct Variant {
  std::string name;
  std::string tensor;               ///< a tensor of the diffusers dialect …
  std::vector<std::int64_t> shape;  ///< … whose shape tells the variant; empty: any
  std::vector<std::string> has;     ///< tensors it has
  std::vector<std::string> lacks;   ///< tensors it lacks
  std::map<std::string, std::int64_t>
      config;  ///< config values it has, where a config is there; booleans as 0 or 1
  bool only_by_config = false;  ///< its tensors alone do not tell it
  GenerationDefaults defaults;
};

/// A module without a weight of its own, which no tensor names.
struct HiddenModule {
  std::string name;    ///< '#' stands for a block index
  std::string beside;  ///< a module with a weight; where that one is, this one is, too
};

/// What post-training quantization needs to know beyond the tensors. '#' stands for a block index.
struct QuantFacts {
  /// Modules, and parameters of the network itself, in the order in which the network defines them: the order of its
  /// state dict. Tensors of other modules follow in the order of their names.
  std::vector<std::string> definition_order;
  /// LayerNorms whose inputs ModelOpt quantizes: those of PyTorch's own class, with or without a weight.
  std::vector<HiddenModule> norms;
  /// Attention modules in which ModelOpt quantizes q, k, v, the probabilities and the result.
  std::vector<HiddenModule> attentions;
  /// Linears that are called with the same tensor and get common scales in NVFP4 exports; empty where ModelOpt's export
  /// cannot find them (ModelOpt reference 8).
  std::vector<std::vector<std::string>> shared_inputs;
  /// Parts of tensor names; a tensor with one of them between dots stays float32 when the network is loaded in 16 bits.
  std::vector<std::string> keep_f32;
  /// The config that diffusers writes for a network of which nothing is said: its constructor's defaults.
  Json (*config_defaults)() = nullptr;
};

struct FamilySpec {
  std::string name;        ///< "flux1", also in JSON and --model-id
  std::string title;       ///< "FLUX.1"
  std::string model_type;  ///< spelling of build-fp8's --model-type; empty: no FP8 profile
  std::vector<std::string> class_names;  ///< _class_name of the transformer's config
  bool profile_by_class = true;          ///< --model-type auto takes the profile for these classes

  std::vector<std::string> fp8_fallback;  ///< BF16 fallback patterns of SGLang's code
  std::vector<std::string>
      fp8_fallback_documented;  ///< those of its documentation, where they differ
  std::vector<std::string>
      nvfp4_fallback;  ///< those of build-nvfp4's preset "<name>-nvfp4"; empty: no preset

  std::vector<NameRule>
      runtime_names;  ///< diffusers module names to SGLang runtime names, in order
  std::optional<MergedExport> merged_export;  ///< the family's merged form

  std::vector<DialectMark> dialects;  ///< tested in order
  /// The diffusers config that these tensors (diffusers dialect, shapes as unquantized) have, for files without one;
  /// nullptr where the family's is not known. Errors: missing_tensor, bad_config.
  Json (*deduce_config)(const TensorTable& tensors, const std::string& path) = nullptr;
  std::vector<Variant> variants;                        ///< tested in order
  std::optional<CalibrationDefaults> calibration = {};  ///< where the engine can calibrate it
  std::vector<LayerRow> layers;  ///< every module; empty where the engine does not run the family
  /// Values of the dims that `layers` speaks of, from a config; nullptr without layers. Errors: bad_config, json_type.
  DimValues (*dims)(const Json& config, const std::string& path) = nullptr;
  QuantFacts quant;
};

}  // namespace ditq
