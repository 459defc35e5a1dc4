#include "kernels/cuda/gemm_choice.h"

#include <algorithm>
#include <array>

namespace ditq {
namespace {

/// The version whose kernels were measured.
constexpr std::size_t kLibrary = 130100;

/// A product of FLUX.1's blocks: [M, K] x [N, K]. Measured at M = 4096 and 4608 on an H200, each kernel for long enough
/// that the chip was at its power limit (docs/performance.md); the best is the same for both.
struct Measured {
  std::int64_t n, k;
  GemmType type;
  bool row_scales, gelu;
  GemmChoice choice;
};

constexpr std::int64_t kLeastRows = 2048;

constexpr std::array kMeasured{
    // Small tiles overlap one's GELU and quantization with another's product.
    Measured{12288,
             3072,
             GemmType::e4m3,
             false,
             true,
             {CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_CLUSTER_SHAPE_1x2x1, 2}},
    Measured{9216,
             3072,
             GemmType::e4m3,
             true,
             false,
             {CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_CLUSTER_SHAPE_1x2x1, 3}},
    Measured{12288,
             3072,
             GemmType::bf16,
             false,
             true,
             {CUBLASLT_MATMUL_TILE_128x160, CUBLASLT_CLUSTER_SHAPE_2x1x1, 1}},
    Measured{9216,
             3072,
             GemmType::bf16,
             false,
             false,
             {CUBLASLT_MATMUL_TILE_128x160, CUBLASLT_CLUSTER_SHAPE_2x1x1, 1}},
};

}  // namespace

std::optional<GemmChoice> measured_choice(const GemmKey& key,
                                          const CudaDeviceInfo& device,
                                          std::size_t library_version) {
  const bool e4m3 = static_cast<GemmType>(key.type) == GemmType::e4m3;
  constexpr std::int32_t kAlignment = 16;
  if (library_version != kLibrary || device.major != 9 || device.minor != 0 || key.m < kLeastRows ||
      key.alignment < kAlignment || (e4m3 && key.fast == 0)) {
    return {};
  }
  const auto* const found = std::ranges::find_if(kMeasured, [&](const Measured& m) {
    return m.n == key.n && m.k == key.k && m.type == static_cast<GemmType>(key.type) &&
           m.row_scales == (key.row_scales != 0) && m.gelu == (key.gelu != 0);
  });
  if (found == kMeasured.end()) return {};
  return found->choice;
}

bool apply_choice(const GemmChoice& choice, cublasLtMatmulAlgo_t& algo) {
  const auto set = [&](cublasLtMatmulAlgoConfigAttributes_t attribute, auto value) {
    return cublasLtMatmulAlgoConfigSetAttribute(&algo, attribute, &value, sizeof(value)) ==
           CUBLAS_STATUS_SUCCESS;
  };
  return set(CUBLASLT_ALGO_CONFIG_TILE_ID, static_cast<std::uint32_t>(choice.tile)) &&
         set(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, static_cast<std::uint16_t>(choice.cluster)) &&
         set(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, choice.custom_option) &&
         set(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, choice.swizzling) &&
         set(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, std::int32_t{1});
}

}  // namespace ditq
