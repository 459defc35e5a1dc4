#pragma once
// The published cases of SGLang's continuous integration that run ModelOpt checkpoints: docs/support/cases.json.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "records/bars.h"

namespace ditq {

/// One case: what it runs, and what a picture of it must reach.
struct SupportCase {
  std::string id;  ///< "flux1_modelopt_fp8_t2i"
  std::vector<std::string> former_ids;
  std::string task;        ///< "t2i", "ti2i" or "t2v"
  std::string algorithm;   ///< "fp8" or "nvfp4"
  std::string model;       ///< repository of the base model, or of the whole quantized pipeline
  std::string flag;        ///< how the checkpoint is given: "--transformer-path"
  std::string checkpoint;  ///< repository of the quantized weights
  std::int64_t gpus = 1;
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::optional<std::int64_t> num_frames;  ///< videos only
  std::int64_t num_inference_steps = 0;
  std::uint64_t seed = 0;
  std::string prompt;
  bool consistency = false;     ///< whether SGLang itself compares its pictures
  std::vector<Bar> thresholds;  ///< of the consistency check: every frame must meet all of them
  std::vector<std::string> notes;
};

/// Reads a file of cases. Errors: as read_json; json_type.
std::vector<SupportCase> read_cases(const std::string& path);

/// The case of that id, or of that former id. Errors: usage, naming all ids.
const SupportCase& find_case(const std::vector<SupportCase>& cases, const std::string& id);

}  // namespace ditq
