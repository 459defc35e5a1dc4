#pragma once
// A conversion's output, decided before anything is written: what every builder plans and write_output() carries out.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "convert/side_files.h"
#include "convert/tensor_recipe.h"
#include "format/safetensors.h"

namespace ditq {

/// Where one output tensor's bytes come from: exactly one of the five.
struct PlannedTensor {
  TensorToWrite target;
  const TensorInfo* copy_of = nullptr;   ///< unchanged bytes of an input
  const TensorInfo* quantize = nullptr;  ///< a weight to divide by `scale` and round to E4M3
  bool is_scale = false;                 ///< one float32: `scale`
  float scale = 0.0f;
  std::shared_ptr<const TensorRecipe> recipe = nullptr;  ///< computes it from `ingredient`
  const TensorInfo* ingredient = nullptr;                ///< what the recipe reads
  std::vector<std::byte> literal = {};  ///< small tensors whose bytes the plan knows

  /// The stored tensor that is read, or nullptr.
  const TensorInfo* source() const {
    if (ingredient != nullptr) return ingredient;
    return copy_of != nullptr ? copy_of : quantize;
  }
};

/// One output file of tensors.
struct PlannedShard {
  std::string name;                             ///< file name, or "folder/name"
  std::vector<PlannedTensor> tensors;           ///< in no particular order
  std::map<std::string, std::string> metadata;  ///< of the output
};

/// A small file whose text is known.
struct PlannedDocument {
  std::string name;  ///< file name, or "folder/name"
  std::string text;
};

/// A whole output folder.
struct OutputPlan {
  std::vector<PlannedShard> shards;
  std::vector<SideFile> side_files;
  std::vector<PlannedDocument> documents;
};

}  // namespace ditq
