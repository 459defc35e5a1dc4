#pragma once
// What is quantized: a pipeline's folder, its parts, and one part opened.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "family/family.h"
#include "format/checkpoint.h"

namespace ditq {

/// A pipeline, or a single component whose folder was named.
struct PipelineSource {
  std::string folder;                   ///< where it lies
  std::string shown;                    ///< as the user named it, for documents
  bool is_component = false;            ///< no model_index.json: the folder is the component itself
  Json index;                           ///< model_index.json; null for a component
  std::vector<std::string> components;  ///< those with a folder, in the index' order

  std::string folder_of(const std::string& component) const;
  std::string shown_path_of(const std::string& component) const;
};

/// A part that is to be quantized.
struct ComponentSource {
  std::string name;    ///< "transformer"
  std::string folder;  ///< where it lies
  std::string shown;   ///< as the user would name it
  Json config;         ///< config.json, an object
  std::string config_path;
  std::string class_name;              ///< its _class_name
  const FamilySpec* family = nullptr;  ///< nullptr: none of ours
  std::shared_ptr<const Checkpoint> checkpoint;
  const MergedExport* merged = nullptr;  ///< the form of a file that holds other networks, too
  TensorTable tensors;                   ///< of the network, by the names that calibrations know

  /// The stored tensor of a name that calibrations know, or nullptr.
  const TensorInfo* find(const std::string& tensor) const;
  /// The same, of a tensor of the table.
  const TensorInfo& at(const std::string& tensor) const;
  /// The name that the file has for it: another one in a merged file.
  std::string stored_name(const std::string& tensor) const;
};

/// `folder` holds model_index.json, or config.json of one component.
/// Errors: file_not_found, json_type and those of read_json.
PipelineSource open_pipeline(const std::string& folder, const std::string& shown);

/// Opens a component, which must not be quantized yet.
/// Errors: usage (the pipeline lacks it), as open_component and read_json; json_type, wrong_dtype.
ComponentSource open_quantizable(const PipelineSource& pipeline, const std::string& component);

}  // namespace ditq
