#pragma once
// A validation as stages: what each runs, what it depends on, what it leaves.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "records/record.h"
#include "validate/stage.h"

namespace ditq {

/// What is validated, and how. Paths are as the user gave them, so that commands can be typed again.
struct ValidateRequest {
  std::string output_dir;
  std::string model_path;  ///< the BF16 pipeline

  // The candidate: one of three.
  std::string format;  ///< "fp8" or "fp4": quantize the pipeline
  std::vector<std::string> quantize_flags;
  std::vector<std::string> quantize_inputs;       ///< files that quantize_flags name
  std::string modelopt_hf_dir;                    ///< take ModelOpt's export
  std::string modelopt_backbone_ckpt;             ///< its torch checkpoint; FP8 only
  std::map<std::string, std::string> components;  ///< take what is built: component to folder
  std::string transformer_weights_path;

  std::vector<std::string> build_flags;
  std::vector<std::string> build_inputs;  ///< files that build_flags name

  std::vector<std::string>
      shared_flags;  ///< what compare and bench get alike, without prompts and seeds
  std::vector<std::string> shared_inputs;  ///< files that shared_flags name
  std::vector<std::string> prompts;
  std::string prompts_file;  ///< instead of prompts
  std::string first_prompt;  ///< of either
  std::uint64_t seed = 42;
  std::string seeds;  ///< as --seeds takes them; empty: prompt i with seed + i
  std::string clip_image_encoder;
  std::string require;       ///< bars of candidate against baseline; may be empty with ground truth
  std::string case_id;       ///< empty: none
  std::string ground_truth;  ///< a stored picture that the candidate's is held against; empty: none
  std::string ground_truth_require;

  bool bench = true;
  std::vector<std::string> bench_flags;

  // What only the record says.
  std::string title;  ///< of report and record
  std::string base_model;
  std::string repository;  ///< empty: unpublished
  std::string flag;        ///< how the candidate is given to SGLang
  std::string machine;     ///< what `ditq version --json` printed
};

/// Errors: usage (no candidate, or several).
void require_one_candidate(const ValidateRequest& request);

/// The stages in their order: baseline, quantize, build, doctor, compare, consistency, bench, report, record; those that
/// the request needs. They keep references to `runner` and `work`.
std::vector<Stage> plan_validation(const ValidateRequest& request,
                                   const WorkFolder& work,
                                   StageRunner& runner);

}  // namespace ditq
