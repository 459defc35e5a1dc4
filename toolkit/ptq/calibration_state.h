#pragma once
// What calibration left behind: ModelOpt's model_state_dict by name, from its torch checkpoint or from ditq's own state
// file. Both hold the same keys, so that everything behind this reads one form.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "format/checkpoint.h"
#include "ptq/quantizers.h"

namespace ditq {

/// Metadata key of a state file: how it was measured, as JSON.
inline constexpr const char* kCalibrationKey = "ditq_calibration";

/// A table of tensors; what it hands out lives as long as the table.
class CalibrationState {
 public:
  /// Reads a .pt or a .safetensors file; bytes of tensors stay in the file.
  /// Errors: as read_torch_checkpoint and Checkpoint::open; pickle_structure (no model_state_dict, or quantizer states
  /// that cannot be read), unsupported (strided tensors other than transposed matrices, packed or int8
  /// quantizers), bad_config (an
  /// incomplete state file).
  static CalibrationState open(const std::string& path);

  /// No statistics at all, for what is made from weights alone; `path` stands in errors.
  static CalibrationState none(const std::string& path);

  CalibrationState(CalibrationState&&) noexcept = default;
  CalibrationState& operator=(CalibrationState&&) noexcept = default;
  CalibrationState(const CalibrationState&) = delete;
  CalibrationState& operator=(const CalibrationState&) = delete;

  /// Tensors of `other` take the place of those of the same name.
  void override_with(CalibrationState other);

  const std::string& path() const { return path_; }
  const std::map<std::string, const TensorInfo*>& tensors() const { return tensors_; }
  /// The tensor of that name, or nullptr.
  const TensorInfo* find(const std::string& name) const;
  /// Whether a matrix is stored column by column, as torch stores low-rank factors: its range then holds the elements of
  /// its transpose, row by row.
  bool is_transposed(const TensorInfo& tensor) const { return transposed_.contains(&tensor); }
  /// The quantizers of a torch checkpoint after calibration; nothing in a state file.
  const std::optional<std::map<std::string, RecordedQuantizer>>& recorded() const {
    return recorded_;
  }
  /// How it was measured: kCalibrationKey of a state file, otherwise null.
  const Json& calibration() const { return calibration_; }
  /// Whether it is of SVDQuant: some layer has low-rank factors.
  bool has_factors() const;
  /// The factors' rank, 0 without any. Errors: wrong_shape (factors of several ranks, or of a bad shape).
  std::int64_t rank() const;

  /// A scalar as float32. Errors: missing_tensor, wrong_shape, wrong_dtype, not_a_number (NaN or infinite), bad_scale
  /// (negative).
  float amax(const std::string& name) const;

 private:
  CalibrationState() = default;
  void read_torch(const std::string& path);
  void read_own(const std::string& path);

  std::string path_;
  std::deque<TensorInfo> owned_;            // of torch checkpoints
  std::shared_ptr<const Checkpoint> file_;  // of a state file
  std::vector<std::unique_ptr<CalibrationState>>
      below_;  // what override_with() took, which owns its tensors
  std::map<std::string, const TensorInfo*> tensors_;
  std::set<const TensorInfo*> transposed_;
  std::optional<std::map<std::string, RecordedQuantizer>> recorded_;
  Json calibration_;
};

/// The file that --restore-from means: itself, or in a folder NAME.pt, backbone.pt or NAME-calibration.safetensors.
/// Errors: file_not_found.
std::string resolve_state(const std::string& path, const std::string& component);

/// File name of a component's state file.
std::string state_file_name(const std::string& component);

}  // namespace ditq
