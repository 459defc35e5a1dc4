#pragma once
// Compares a checkpoint with its family's table before anything is built.

#include <cstdint>
#include <optional>
#include <string>

#include "family/family.h"

namespace ditq {

/// Value of a size such as "6D" or "256". Asserts that the dim exists.
std::int64_t size_value(const std::string& size, const DimValues& dims);

/// The tensors that an unquantized model of these dims has, all dtypes bf16.
TensorTable expected_tensors(const FamilySpec& family, const DimValues& dims);

/// Checks that every tensor of the family is there with its shape, and nothing else. Linears may be stored as FP8
/// (weight F8_E4M3 [N, K], weight_scale F32 [], [1] or [N], optional input_scale F32 [] or [1]) or as NVFP4 (weight U8
/// [N, K/2], weight_scale F8_E4M3 [N, K/16], weight_scale_2 and optional input_scale). SVDQuant's
/// pre_quant_scale [K], svdquant_lora_a [r, K] and svdquant_lora_b [N, r] may stand beside any of them. Names with
/// "_quantizer." are passed over.
/// Errors: family_mismatch; its message lists all missing, unexpected and misshapen tensors, block indices folded.
void check_tensors(const FamilySpec& family,
                   const DimValues& dims,
                   const TensorTable& found,
                   const std::string& path);

/// How SGLang's runtime treats a module of the family, or nothing for a name the table does not have. `module` is the
/// name without ".weight".
std::optional<LayerUse> layer_use(const FamilySpec& family, const std::string& module);

}  // namespace ditq
