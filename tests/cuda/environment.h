#pragma once
// The GPU that these tests need; without one they are skipped with the reason.

#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "kernels/cuda_device.h"
#include "pipeline/device.h"
#include "tensor/create.h"

namespace ditq::test {

/// Makes the first device current. Before the first tensor of the process. DITQ_TEST_CAPABILITY=8.0 takes the paths of
/// devices of that compute capability.
inline bool use_gpu() {
  static const bool there = [] {
    if (find_cuda() == nullptr) return false;
    choose_device("cuda");
    int major = 0;
    int minor = 0;
    const char* capability = std::getenv("DITQ_TEST_CAPABILITY");
    if (capability != nullptr && std::sscanf(capability, "%d.%d", &major, &minor) == 2) {
      cuda().act_as(major, minor);
    }
    return true;
  }();
  return there;
}

#define DITQ_NEEDS_GPU() \
  if (!::ditq::test::use_gpu()) GTEST_SKIP() << "no GPU: " << ::ditq::why_no_cuda()

/// Whether the GPU is the one that ditq has its own kernels and cuBLASLt scales of rows for.
inline bool is_hopper() {
  return cuda().info().major == 9 && cuda().info().minor == 0;
}

inline const at::Device kGpu(at::kCUDA, 0);

/// The same values on the GPU in bf16.
inline Tensor on_gpu(const Tensor& x) {
  return on_device(x, kGpu);
}

/// Values as a network sees them: standard normal, some large.
inline Tensor values(std::uint64_t seed, at::IntArrayRef shape) {
  return normal(seed, shape, at::kFloat).mul(1.5).to(at::kBFloat16);
}

}  // namespace ditq::test
