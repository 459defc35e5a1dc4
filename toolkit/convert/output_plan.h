#pragma once
// A conversion's output, decided before anything is written: what every builder plans and write_output() carries out.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "convert/side_files.h"
#include "format/safetensors.h"

namespace ditq {

/// Where one output tensor's bytes come from: exactly one of the three.
struct PlannedTensor {
  TensorToWrite target;
  const TensorInfo* copy_of = nullptr;   ///< unchanged bytes of an input
  const TensorInfo* quantize = nullptr;  ///< a weight to divide by `scale` and round to E4M3
  bool is_scale = false;                 ///< one float32: `scale`
  float scale = 0.0f;

  /// The stored tensor that is read, or nullptr.
  const TensorInfo* source() const { return copy_of != nullptr ? copy_of : quantize; }
};

/// One output file of tensors.
struct PlannedShard {
  std::string name;                             ///< file name
  std::vector<PlannedTensor> tensors;           ///< in no particular order
  std::map<std::string, std::string> metadata;  ///< of the output
};

/// A small file whose text is known.
struct PlannedDocument {
  std::string name;  ///< file name
  std::string text;
};

/// A whole output folder.
struct OutputPlan {
  std::vector<PlannedShard> shards;
  std::vector<SideFile> side_files;
  std::vector<PlannedDocument> documents;
};

}  // namespace ditq
