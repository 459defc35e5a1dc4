#pragma once
// One form for every checkpoint: the diffusers dialect, fused layers apart, NVFP4 with the even column in the low
// nibble and linear block scales. Nothing is copied that the file already holds so.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "family/family.h"
#include "format/tensor_view.h"
#include "quant/config.h"

namespace ditq {

/// How a view gets at bytes.
enum class Access {
  map,   ///< the file's mapping where nothing has to be rearranged; pages stay resident
  copy,  ///< always a copy, read with pread: memory is what the caller holds
};

/// What is known before the view is made.
struct NormalizeInput {
  std::shared_ptr<const Checkpoint> checkpoint;
  const DialectMark* mark = nullptr;  ///< its naming scheme; nullptr: names stay as they are
  QuantConfig quant;                  ///< declared, or inferred
  bool comfy =
      false;  ///< it carries ComfyUI's per-layer markers, which imply comfy-kitchen's layout
  Access access = Access::map;
  /// For whoever looks for what is wrong: gets the error of a stored module, whose tensors the view then lacks; of a
  /// packed layer only a float32 scale that cannot be. Without it errors are raised.
  std::function<void(const std::string& module, const Error& error)> on_error = {};
};

/// A view and what was decided on the way.
struct NormalizedTensors {
  std::shared_ptr<const TensorView> view;
  std::vector<std::string> reasons;  ///< one sentence per decision
  std::vector<std::string>
      ignore;  ///< the config's ignore list and what it means in the view's names
  std::set<std::string>
      unswizzled;  ///< the view's modules whose block scales were stored in the 128x4 order
  std::set<std::string>
      undeclared;  ///< those whose order no key and no habit tells, only the stored shape
};

/// Plans the view; tensors are rearranged when they are read. Tensors of quantizers, markers and other networks are
/// left out. Parts of a fused layer share its scalar scales; scales with one value per part, or per row, go with
/// them.
/// Errors: unsupported (a block size, see quant/config.h), weight_without_scale, scale_without_weight, wrong_dtype,
/// wrong_shape, bad_scale (NVFP4 scales that are not there, not of their form, zero or not finite), duplicate_tensor
/// (a layer that is there fused and apart). Reading block scales raises bad_scale for codes that are negative or NaN.
/// Source: SGLang bridge reference 1.6, 1.7, 4.5, 4.6, 4.10; comfy-kitchen tensor/nvfp4.py and float_utils.py @
/// 7d86acf (high nibble first, block scales padded and in the 128x4 order).
NormalizedTensors normalize(const NormalizeInput& input);

/// The view's tensors as an unquantized model has them: packed weights counted in elements, scales left out.
TensorTable plain_table(const TensorView& view);

}  // namespace ditq
