#pragma once
// Where a run happens.

#include <string>

#include "tensor/tensor.h"

namespace ditq {

/// The device of --device: "cpu", "cuda", "cuda:N", or empty: cuda where there is one. A CUDA device is made current. Comes
/// before the first tensor operation of the process. Errors: unsupported where there is none, with the reason; device for a number that is not there.
at::Device choose_device(const std::string& name);

/// "cpu", or "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string device_name(const at::Device& device);

}  // namespace ditq
