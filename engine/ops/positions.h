#pragma once
// Positions of tokens for rope.

#include "tensor/tensor.h"

namespace ditq {

/// [leading + rows * columns, 3] f32: `leading` rows of zeros, then (0, row, column) in reading order.
Tensor grid_positions(std::int64_t leading, std::int64_t rows, std::int64_t columns);

}  // namespace ditq
