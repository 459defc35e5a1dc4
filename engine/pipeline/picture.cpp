#include "pipeline/picture.h"

#include "base/error.h"

namespace ditq {

std::int64_t count_non_finite(const Tensor& values) {
  return values.numel() - values.isfinite().sum().item<std::int64_t>();
}

Picture to_picture(const Tensor& pixels) {
  DITQ_ASSERT(pixels.dim() == 4 && pixels.size(0) == 1 && pixels.size(1) == 3);
  const Tensor bytes = pixels.mul(0.5)
                           .add(0.5)
                           .clamp(0, 1)
                           .nan_to_num(0)
                           .to(at::kFloat)
                           .mul(255)
                           .round()
                           .to(at::kByte)[0]
                           .permute({1, 2, 0})
                           .contiguous()
                           .cpu();
  const auto* first = bytes.const_data_ptr<std::uint8_t>();
  return {
      .width = bytes.size(1), .height = bytes.size(0), .pixels = {first, first + bytes.numel()}};
}

}  // namespace ditq
