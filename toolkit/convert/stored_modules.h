#pragma once
// A checkpoint's tensors by module, as they are stored, each with its place in the diffusers dialect.

#include <map>
#include <string>
#include <vector>

#include "family/dialect.h"
#include "format/checkpoint.h"
#include "quant/config.h"

namespace ditq {

/// A module as the file has it.
struct StoredModule {
  std::string name;                                  ///< stored, with the dialect's prefix
  std::vector<DialectPart> parts;                    ///< what its rows are in the diffusers dialect
  bool swap_halves = false;                          ///< its halves stand the other way round
  bool nvfp4 = false;                                ///< its weight is packed
  std::map<std::string, const TensorInfo*> tensors;  ///< by parameter, in ModelOpt's spelling

  /// The tensor of a parameter, or nullptr.
  const TensorInfo* find(const std::string& parameter) const;
  /// Rows of its weight, or of its bias where it has none; 0 for scalars.
  std::int64_t rows() const;
};

/// A checkpoint's modules and what was left out.
struct StoredModules {
  std::map<std::string, StoredModule> modules;  ///< by stored name
  std::size_t foreign = 0;                      ///< tensors of other networks
};

/// Groups a checkpoint's tensors. Tensors of quantizers and markers (`comfy_quant`, `scaled_fp8`) are left out.
/// Errors: duplicate_tensor (one parameter in two spellings).
StoredModules stored_modules(const Checkpoint& checkpoint, const DialectNames& names);

/// Checks a packed module's weight and that block scales of their dtype are there; their shape is the caller's.
/// ComfyUI's older files keep block scales as U8. Errors: weight_without_scale, wrong_dtype, wrong_shape.
void check_nvfp4_blocks(const StoredModule& module, bool comfy);

/// Checks one of a packed module's float32 scales, "weight_scale_2" or "input_scale", which may be absent: one positive
/// finite number, or one for each part. Errors: weight_without_scale, wrong_dtype, wrong_shape, bad_scale.
void check_nvfp4_scale(const StoredModule& module, const std::string& parameter);

}  // namespace ditq
