#pragma once
// SVDQuant layers over one input get one smoothing scale and one first factor, as a fused kernel needs them.

#include "pipeline/engine.h"

namespace ditq {

/// Writes the unified members. Errors: missing_tensor, wrong_shape, and of files.
void unify_svdquant(const UnifySvdquantRequest& request);

}  // namespace ditq
