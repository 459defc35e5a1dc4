#pragma once
// SVDQuant's layers: from statistics and a weight to a smoothed residual with a low-rank branch.

#include <cstdint>
#include <set>
#include <string>

#include "pipeline/state_file.h"
#include "tensor/weights.h"

namespace ditq {

/// One layer as SVDQuant leaves it, on the CPU.
struct SvdquantLayer {
  Tensor residual;         ///< [N, K] in the weight's dtype
  Tensor pre_quant_scale;  ///< [K] in the weight's dtype
  Tensor a;                ///< [rank, K]
  Tensor b;                ///< [N, rank]
};

/// The alpha of the smallest loss, the first of equal ones. losses: f32 [11], as SearchPass keeps them.
float best_alpha(const Tensor& losses);

/// 1 / s for the layer's best alpha, f32 [K]; ones where a layer saw no data.
/// Shapes: weight [N, K]. Source: ModelOpt reference 4.3, 4.4.
Tensor smoothing_scale(const Statistics& statistics,
                       const std::string& module,
                       const Tensor& weight,
                       std::int64_t block);

/// Smooths weight [N, K] by pre_quant_scale f32 [K] and splits it: R(W / p) = residual + b a, both rounded to W's dtype.
/// Source: ModelOpt reference 4.4, 4.5.
SvdquantLayer split_layer(const Tensor& weight, const Tensor& pre_quant_scale, std::int64_t rank);

/// How write_split_weights treats the modules.
struct SplitRequest {
  std::set<std::string> modules;  ///< those that become SVDQuant layers
  std::int64_t rank = 32;
  std::int64_t block = 16;
  Json about;  ///< goes into the metadata
};

/// Writes the transformer's weights to a file that Linear runs as smoothed layers with low-rank branches (ditq's and
/// ModelOpt's export names), with a progress bar; one layer is in memory at a time. Errors: storage, interrupted.
void write_split_weights(const std::string& path,
                         const Weights& weights,
                         const Statistics& statistics,
                         const SplitRequest& request);

}  // namespace ditq
