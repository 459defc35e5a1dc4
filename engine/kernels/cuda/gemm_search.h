#pragma once
// The fastest of the kernels that cuBLASLt offers for a product, under the load that the product itself makes.

#include <functional>
#include <string>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace ditq {

struct TimedAlgo {
  cublasLtMatmulAlgo_t algo;
  float milliseconds = 0;
  bool is_first = false;  ///< of `candidates`
};

/// "tile 20, cluster 5, option 2, swizzle 0, K in 1 parts", numbers as in cublasLt.h.
std::string describe_algo(const cublasLtMatmulAlgo_t& algo);

/// Kernels like the first of `candidates` in every tile, cluster, option and order of tiles for which `offered` holds, and
/// the candidates themselves. All run a few times, of tiles far behind only some; the most promising then alone for long
/// enough that the chip's clock is the one that it keeps under this load: a kernel that takes fewer cycles but more energy
/// wins in turns, and loses at the power limit.
/// run: launches once, false if the library refuses. Returns the finalists, fastest first.
std::vector<TimedAlgo> search_gemm(const std::vector<cublasLtMatmulAlgo_t>& candidates,
                                   const std::function<bool(const cublasLtMatmulAlgo_t&)>& offered,
                                   const std::function<bool(const cublasLtMatmulAlgo_t&)>& run,
                                   cudaStream_t stream);

}  // namespace ditq
