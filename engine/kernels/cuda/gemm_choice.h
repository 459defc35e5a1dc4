#pragma once
// Kernels of cuBLASLt that were measured to be faster than its heuristics' first choice.

#include <optional>

#include <cublasLt.h>

#include "kernels/cuda/gemm.h"

namespace ditq {

/// What tells one of the library's kernels from another, as cublasLtMatmulAlgoConfigSetAttribute takes it.
struct GemmChoice {
  cublasLtMatmulTile_t tile;
  cublasLtClusterShape_t cluster;
  std::uint32_t custom_option;  ///< means something to one version of the library alone
  std::uint32_t swizzling = 0;  ///< another order of tiles, where it is 1
};

/// The kernel for a product on this device with this version of the library; nothing where none was measured.
std::optional<GemmChoice> measured_choice(const GemmKey& key,
                                          const CudaDeviceInfo& device,
                                          std::size_t library_version);

/// `algo` made into the chosen kernel, K in one part; false where it has no such settings.
bool apply_choice(const GemmChoice& choice, cublasLtMatmulAlgo_t& algo);

}  // namespace ditq
