#include "sampling/noise.h"

#include "tensor/create.h"

namespace ditq {

Tensor draw_noise(std::uint64_t seed,
                  at::IntArrayRef shape,
                  at::ScalarType dtype,
                  at::Device device) {
  return normal(seed, shape, dtype, device);
}

Tensor pack_latents(const Tensor& latents) {
  const std::int64_t batch = latents.size(0);
  const std::int64_t channels = latents.size(1);
  const std::int64_t rows = latents.size(2) / 2;
  const std::int64_t columns = latents.size(3) / 2;
  return latents.reshape({batch, channels, rows, 2, columns, 2})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({batch, rows * columns, channels * 4});
}

Tensor unpack_latents(const Tensor& packed, std::int64_t height, std::int64_t width) {
  const std::int64_t batch = packed.size(0);
  const std::int64_t channels = packed.size(2) / 4;
  return packed.reshape({batch, height / 2, width / 2, channels, 2, 2})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({batch, channels, height, width});
}

}  // namespace ditq
