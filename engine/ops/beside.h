#pragma once
// Work that may overlap.

#include <functional>

#include "tensor/tensor.h"

namespace ditq {

/// Runs `side` and `main`, which do not depend on one another: on a GPU (where `like` lies) at the same time, on the CPU
/// one after the other. Tensors that both use must outlive the call.
void beside(const Tensor& like,
            const std::function<void()>& main,
            const std::function<void()>& side);

}  // namespace ditq
