#pragma once
// The flags of `ditq quantize`: ModelOpt's quantize.py, and ours.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "beyond_flags.h"
#include "flags.h"
#include "pipeline/engine.h"
#include "pipeline_flags.h"
#include "ptq/models.h"
#include "ptq/quantize.h"

namespace ditq {

/// Declares, checks and translates them; lives until they are parsed.
class QuantizeFlags {
 public:
  /// Declares all flags.
  explicit QuantizeFlags(Flags& flags);

  /// What to export, without the calibrations (QuantizeRequest::states). Checks flags against each other.
  /// Errors: usage, unsupported, and those of resolve_model_path.
  QuantizeRequest export_request() const;

  /// What to calibrate for it; nothing with --restore-from and --weights-only.
  /// Errors: usage, unsupported, and those of read_calibration_prompts.
  std::optional<CalibrateRequest> calibrate_request(const QuantizeRequest& request) const;

  /// --restore-from, for a component. Errors: file_not_found.
  std::string restored_state(const std::string& component) const;

 private:
  void declare_input();
  void declare_recipe();
  void declare_calibration();
  void declare_output();
  void declare_refused();
  void refuse_foreign() const;
  void check_counts() const;
  void apply_extra(CalibrateRequest& request) const;
  std::string state_file(const QuantizeRequest& request) const;

  Flags& flags_;
  QuantizeRequest request_;
  CalibrateRequest calibrate_;
  PipelineFlags pipeline_;
  BeyondFlags beyond_;
  std::string override_model_path_;
  std::string format_;
  std::string algorithm_;
  std::string arithmetic_ = "cuda";
  std::string restore_from_;
  std::string prompts_file_;
  std::string state_file_;
  std::vector<std::string> backbones_;
  std::vector<std::string> component_dtypes_;
  std::vector<std::string> extra_;
  std::int64_t calib_size_ = 128;
  std::map<std::string, std::string> refused_;
  std::map<std::string, bool> refused_switches_;
};

}  // namespace ditq
