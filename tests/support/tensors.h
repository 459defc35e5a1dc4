#pragma once
// Golden tensors and the distances that tests state.

#include <string>

#include "support/paths.h"
#include "tensor/weights.h"

namespace ditq::test {

/// The tensor `name` of a safetensors file.
Tensor load(const std::filesystem::path& file, const std::string& name);

/// max |a - b|, in f32.
double max_abs(const Tensor& a, const Tensor& b);

/// max |a - b| / max |b|.
double relative(const Tensor& a, const Tensor& b);

/// Cosine of the flattened tensors, in f64.
double cosine(const Tensor& a, const Tensor& b);

/// Largest distance in units of the last place of bf16, measured at the larger magnitude.
double bf16_ulps(const Tensor& a, const Tensor& b);

}  // namespace ditq::test
