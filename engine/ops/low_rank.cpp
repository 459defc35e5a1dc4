#include "ops/low_rank.h"

#include <algorithm>
#include <tuple>

#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

namespace ditq {

LowRank low_rank(const Tensor& w, std::int64_t rank) {
  const auto [u, s, vt] = at::linalg_svd(w.cpu().to(at::kDouble), /*full_matrices=*/false);
  const std::int64_t kept = std::min(rank, s.size(0));
  LowRank out{.a = at::zeros({rank, w.size(1)}, w.scalar_type()),
              .b = at::zeros({w.size(0), rank}, w.scalar_type())};
  out.a.narrow(0, 0, kept).copy_(vt.narrow(0, 0, kept));
  out.b.narrow(1, 0, kept).copy_(u.narrow(1, 0, kept).mul(s.narrow(0, 0, kept)));
  return out;
}

Tensor product(const LowRank& factors) {
  return at::matmul(factors.b, factors.a);
}

}  // namespace ditq
