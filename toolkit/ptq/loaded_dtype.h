#pragma once
// The dtype in which a tensor is held once its component is loaded: what "load this model in bfloat16" means, tensor by
// tensor.

#include <string>
#include <string_view>

#include "base/dtype.h"
#include "family/family.h"

namespace ditq {

/// "Half", "BFloat16" or "Float", as --model-dtype spells them. Errors: usage.
Dtype parse_model_dtype(const std::string& spelling, const std::string& flag);

/// The dtypes of a component that is loaded in one dtype.
class LoadedDtype {
 public:
  /// `class_name`: _class_name of a diffusers config, or the first of transformers' architectures.
  LoadedDtype(Dtype wanted, const std::string& class_name, const FamilySpec* family);

  /// The dtype of a tensor that is stored as `stored`; what is no 16- or 32-bit float stays as it is.
  Dtype of(std::string_view tensor, Dtype stored) const;

 private:
  Dtype wanted_;
  std::vector<std::string> keep_f32_;
};

}  // namespace ditq
