#pragma once
// Rows of a table by token id.

#include "tensor/tensor.h"

namespace ditq {

/// table[ids].
/// Shapes: ids [...] i64 on the CPU; table [N, D]. Returns [..., D] in the table's dtype on its device.
/// Errors: bad_tokenizer for an id outside the table.
Tensor embedding(const Tensor& ids, const Tensor& table);

}  // namespace ditq
