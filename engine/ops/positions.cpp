#include "ops/positions.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

namespace ditq {

Tensor grid_positions(std::int64_t leading, std::int64_t rows, std::int64_t columns) {
  const Tensor all = at::zeros({leading + rows * columns, 3}, at::kFloat);
  const Tensor grid = all.narrow(0, leading, rows * columns).view({rows, columns, 3});
  grid.select(2, 1).copy_(
      at::arange(rows, at::TensorOptions(at::kFloat)).unsqueeze(1).expand({rows, columns}));
  grid.select(2, 2).copy_(
      at::arange(columns, at::TensorOptions(at::kFloat)).unsqueeze(0).expand({rows, columns}));
  return all;
}

}  // namespace ditq
