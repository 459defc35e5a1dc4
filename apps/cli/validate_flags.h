#pragma once
// The flags of `ditq validate`, and the request that they make.

#include <string>
#include <vector>

#include "flags.h"
#include "generate_flags.h"
#include "records/cases.h"
#include "validate/plan.h"

namespace ditq {

class ValidateFlags {
 public:
  /// Declares them; `flags` must outlive this.
  explicit ValidateFlags(Flags& flags);

  /// What was asked for, checked as far as it can be without running anything.
  /// Errors: usage, unsupported (a case that cannot run here), file_not_found; as read_cases.
  ValidateRequest request();

  bool list_cases = false;
  std::vector<std::string> redo;  ///< stages that run although nothing has changed
  std::string only;               ///< the one stage that runs; empty: all
  std::string record_copy;        ///< where the record is copied to; empty: nowhere

 private:
  void declare_candidate();
  void declare_gate();
  void declare_stages();
  void apply_case(ValidateRequest& request);
  void take_candidate(ValidateRequest& request) const;
  void take_prompts(ValidateRequest& request) const;
  void take_gate(ValidateRequest& request) const;
  std::vector<std::string> shared_flags() const;
  std::vector<std::string> quantize_flags() const;

  Flags& flags_;
  GenerateRequest generate_;
  GenerateFlags shared_;
  ValidateRequest request_;
  std::string prompts_file_;
  std::string model_ = "flux-dev";
  std::string calibration_prompts_;
  std::string quantize_config_;
  std::string build_config_;
  std::string ground_truth_folder_;
  std::string cases_file_;
  std::int64_t calib_size_ = 128;
  std::int64_t calib_batch_size_ = 2;
  std::int64_t calib_steps_ = 30;
  std::int64_t bench_rounds_ = 1;
  std::int64_t bench_warmup_runs_ = 1;
  std::int64_t bench_measure_runs_ = 2;
};

}  // namespace ditq
