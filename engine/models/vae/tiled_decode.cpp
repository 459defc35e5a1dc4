#include "models/vae/tiled_decode.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/create.h"

namespace ditq {
namespace {

constexpr std::int64_t kRows = 2;  ///< dimensions of a picture
constexpr std::int64_t kColumns = 3;

/// part * weights along dim, rounded to its dtype as a product with a number is.
Tensor weighted(const Tensor& part, const std::vector<float>& weights, std::int64_t dim) {
  const auto count = static_cast<std::int64_t>(weights.size());
  const Tensor along =
      from_values(weights).to(part.device()).view(dim == kRows ? Shape{count, 1} : Shape{count});
  return part.to(at::kFloat).mul(along).to(part.scalar_type());
}

/// The first `extent` rows or columns of `tile` fade in over the last ones of `before`.
void blend(const Tensor& before, const Tensor& tile, std::int64_t extent, std::int64_t dim) {
  extent = std::min({before.size(dim), tile.size(dim), extent});
  std::vector<float> fade_in;
  std::vector<float> fade_out;
  for (std::int64_t i = 0; i < extent; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(extent);
    fade_in.push_back(static_cast<float>(share));
    fade_out.push_back(static_cast<float>(1 - share));
  }
  const Tensor edge = tile.narrow(dim, 0, extent);
  const Tensor end = before.narrow(dim, before.size(dim) - extent, extent);
  edge.copy_(weighted(end, fade_out, dim).add(weighted(edge, fade_in, dim)));
}

}  // namespace

Tensor decode_in_tiles(const Tensor& latents,
                       const Tiling& tiling,
                       const std::function<Tensor(const Tensor& tile)>& decode) {
  DITQ_ASSERT(tiling.latent_side > 0 && tiling.latent_side % 4 == 0);
  const std::int64_t stride = tiling.latent_side / 4 * 3;
  const std::int64_t extent = tiling.latent_side / 4 * tiling.scale;
  const std::int64_t height = latents.size(2);
  const std::int64_t width = latents.size(3);
  Tensor picture;
  std::vector<Tensor> above;
  for (std::int64_t y = 0; y < height; y += stride) {
    std::vector<Tensor> row;
    for (std::int64_t x = 0; x < width; x += stride) {
      const Tensor tile = decode(latents.narrow(2, y, std::min(tiling.latent_side, height - y))
                                     .narrow(3, x, std::min(tiling.latent_side, width - x)));
      if (!above.empty()) blend(above[row.size()], tile, extent, kRows);
      if (!row.empty()) blend(row.back(), tile, extent, kColumns);
      if (!picture.defined()) {
        picture = empty({tile.size(0), tile.size(1), height * tiling.scale, width * tiling.scale},
                        tile.scalar_type(), tile.device());
      }
      const auto place = [&](const Tensor& all, std::int64_t top, std::int64_t left) {
        return all.narrow(kRows, top, std::min(stride, height - y) * tiling.scale)
            .narrow(kColumns, left, std::min(stride, width - x) * tiling.scale);
      };
      place(picture, y * tiling.scale, x * tiling.scale).copy_(place(tile, 0, 0));
      row.push_back(tile);
    }
    above = std::move(row);
  }
  return picture;
}

}  // namespace ditq
