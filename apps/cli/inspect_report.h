#pragma once
// What `ditq inspect` finds out about a path, as data. Reads headers, configs and scales, never weights.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "format/tensor_info.h"

namespace ditq {

/// A module with a weight.
struct LayerReport {
  std::string name;    ///< without ".weight"
  std::string stored;  ///< "F8_E4M3", "BF16", … or "NVFP4"
  Shape shape;         ///< of the weight as it is stored
  bool quantized = false;
  std::optional<double> weight_scale;  ///< where it is one number; NVFP4: weight_scale_2
  std::optional<double> input_scale;
  std::string note;  ///< why it is not quantized, or what is odd about it
  std::vector<std::string>
      diffusers;  ///< modules of the diffusers dialect that its rows are, where names differ
};

/// Tensors of one dtype.
struct DtypeTotals {
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
};

/// A file and its size.
struct FileReport {
  std::string name;
  std::uint64_t bytes = 0;
};

/// One checkpoint: a folder of shards, a single file, or a torch checkpoint.
struct CheckpointReport {
  std::string path;
  std::string kind;        ///< "transformer", "component", "file", "torch checkpoint"
  std::string class_name;  ///< of its config, or empty
  std::string family;      ///< empty: unknown
  std::string title;       ///< the family's, for people
  std::string variant;
  std::string dialect;
  std::string scheme;
  std::vector<std::string> reasons;
  std::string quant_method;  ///< of quantization_config; empty: none declared
  std::string quant_algo;
  std::string quant_source;   ///< which document declares it
  std::uint64_t ignored = 0;  ///< entries of its ignore list
  std::vector<FileReport> files;
  std::string index;  ///< file name, or empty
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;       ///< of all tensors
  std::uint64_t parameters = 0;  ///< elements of all tensors but scales, packed ones counted singly
  std::map<std::string, DtypeTotals> dtypes;
  std::vector<LayerReport> layers;
};

/// One entry of a pipeline's model_index.json.
struct ComponentReport {
  std::string name;
  std::string class_name;
  std::uint64_t bytes = 0;  ///< of all its files
  std::string problem;      ///< why it could not be read; empty: it could, or it has no weights
  std::optional<CheckpointReport> checkpoint;
};

/// What lies at a path: a pipeline's components, or one checkpoint.
struct InspectReport {
  std::string path;
  std::string pipeline_class;  ///< empty: no pipeline
  std::vector<ComponentReport> components;
  std::optional<CheckpointReport> checkpoint;
};

/// Looks at a pipeline folder, a component folder (or its parent with a folder transformer), a .safetensors file, or a
/// torch checkpoint (.pt, .pth, .bin, .ckpt).
/// Errors: file_not_found; as open_component and read_torch_checkpoint.
InspectReport inspect(const std::string& path);

/// The report as a document; layers only where asked for.
Json to_json(const InspectReport& report, bool layers);

}  // namespace ditq
