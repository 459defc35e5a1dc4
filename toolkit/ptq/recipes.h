#pragma once
// How exported tensors are computed from stored ones (convert/tensor_recipe.h).

#include <memory>

#include "convert/tensor_recipe.h"
#include "quant/arithmetic.h"

namespace ditq {

/// The dtypes that a weight passes through before it is quantized: as stored, as loaded, and the dtype of the
/// component's first parameter, in which ModelOpt's export computes.
struct WeightPath {
  Dtype stored = Dtype::bf16;
  Dtype loaded = Dtype::bf16;
  Dtype computed = Dtype::bf16;
};

/// Elements cast from one dtype to another.
std::shared_ptr<const TensorRecipe> cast_recipe(Dtype from, Dtype to);

/// A matrix [rows, columns] from its transpose, cast from one dtype to another. Its one unit is the whole matrix.
std::shared_ptr<const TensorRecipe> transpose_recipe(const Shape& shape, Dtype from, Dtype to);

/// E4M3 codes of a weight with this scale. Source: ModelOpt reference 5.3.
/// Errors of the recipe: not_a_number (a value exceeds the layer's amax so far that E4M3 has no number for it).
std::shared_ptr<const TensorRecipe> fp8_recipe(const WeightPath& path,
                                               float scale,
                                               Arithmetic arithmetic);

/// Packed E2M1 codes of a weight with this global scale, and its block scales. Source: ModelOpt reference 5.6.
/// Errors of the recipes: not_a_number (NaN in the weight).
std::shared_ptr<const TensorRecipe> nvfp4_codes_recipe(const WeightPath& path,
                                                       float global_scale,
                                                       std::size_t block);
std::shared_ptr<const TensorRecipe> nvfp4_scales_recipe(const WeightPath& path,
                                                        float global_scale,
                                                        std::size_t block);

}  // namespace ditq
