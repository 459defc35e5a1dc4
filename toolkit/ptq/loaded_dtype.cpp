// Sources: diffusers models/modeling_utils.py @ 0.39.0 (_keep_in_fp32_modules, for bfloat16 and float16);
// transformers models/t5/modeling_t5.py and models/umt5/modeling_umt5.py @ 5.17.0 (_keep_in_fp32_modules = ["wo"], which
// transformers applies to float16 alone).

#include "ptq/loaded_dtype.h"

#include <algorithm>

#include "base/error.h"
#include "quant/cast.h"

namespace ditq {
namespace {

bool has_part(std::string_view tensor, std::string_view part) {
  while (!tensor.empty()) {
    const std::size_t dot = std::min(tensor.find('.'), tensor.size());
    if (tensor.substr(0, dot) == part) return true;
    tensor.remove_prefix(std::min(dot + 1, tensor.size()));
  }
  return false;
}

}  // namespace

Dtype parse_model_dtype(const std::string& spelling, const std::string& flag) {
  if (spelling == "Half") return Dtype::f16;
  if (spelling == "BFloat16") return Dtype::bf16;
  if (spelling == "Float") return Dtype::f32;
  throw Error(ErrorCode::usage, flag + ": unknown dtype",
              {.expected = "Half, BFloat16 or Float", .found = "'" + spelling + "'"});
}

LoadedDtype::LoadedDtype(Dtype wanted, const std::string& class_name, const FamilySpec* family)
    : wanted_(wanted) {
  if (family != nullptr) keep_f32_ = family->quant.keep_f32;
  const bool is_t5 = class_name.starts_with("T5") || class_name.starts_with("UMT5");
  if (is_t5 && wanted == Dtype::f16) keep_f32_.emplace_back("wo");
}

Dtype LoadedDtype::of(std::string_view tensor, Dtype stored) const {
  if (!is_castable(stored)) return stored;
  const bool kept = std::any_of(keep_f32_.begin(), keep_f32_.end(),
                                [tensor](const auto& part) { return has_part(tensor, part); });
  return kept ? Dtype::f32 : wanted_;
}

}  // namespace ditq
