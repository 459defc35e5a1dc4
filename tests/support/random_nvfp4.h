#pragma once
// NVFP4 weights of random codes.

#include <cstdint>
#include <random>
#include <vector>

#include "quant/nvfp4.h"
#include "tensor/create.h"

namespace ditq::test {

/// uint8 values of a shape.
inline Tensor bytes_tensor(const std::vector<std::uint8_t>& values,
                           const std::vector<std::int64_t>& shape) {
  const std::vector<std::int64_t> wide(values.begin(), values.end());
  return from_values(wide).to(at::kByte).reshape(shape);
}

/// Random codes and block scales as a checkpoint holds them, with the products they stand for.
struct RandomWeight {
  Tensor codes;   ///< [N, K / 2] uint8
  Tensor scales;  ///< [N, K / 16] uint8, the bits of E4M3
  Tensor values;  ///< [N, K] f32

  RandomWeight(std::uint32_t seed, std::int64_t n, std::int64_t k) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> packed(static_cast<std::size_t>(n * k / 2));
    std::vector<std::uint8_t> blocks(static_cast<std::size_t>(n * k / 16));
    for (auto& byte : packed) byte = static_cast<std::uint8_t>(random());
    for (auto& byte : blocks) byte = static_cast<std::uint8_t>(random() % 0x7F);  // no NaN
    std::vector<float> products(packed.size() * 2);
    dequantize_nvfp4(packed, blocks, products);
    codes = bytes_tensor(packed, {n, k / 2});
    scales = bytes_tensor(blocks, {n, k / 16});
    values = from_values(products).reshape({n, k});
  }
};

}  // namespace ditq::test
