#pragma once
// What the GPU benchmarks share: timing, and a table of results with their share of the machine's own ceilings.

#include <functional>
#include <string>

#include "base/json.h"
#include "tensor/tensor.h"

namespace ditq::bench {

/// Milliseconds of one call, by the device's clock: `repeats` calls in one graph, the median of five replays.
double time_device(const std::function<void()>& call, int repeats);

/// Standard normal bf16 values on the GPU.
Tensor device_normal(std::uint64_t seed, at::IntArrayRef shape);

/// The device's own ceilings, measured: copy in TB/s, bf16 and FP8 products in TFLOP/s.
Json measure_ceilings();

/// Every fused kernel of the case table: milliseconds, TB/s or TFLOP/s, percent of the ceiling.
Json measure_kernels(const Json& ceilings);

/// FLUX.1's products of whose name `part` is a part, such as "4608x12288x3072 e4m3 gelu".
Json measure_gemms(const std::string& part);

/// How a transformer's step is measured.
struct StepOptions {
  int steps = 30;                ///< timed after seconds of others
  bool fp8_attention = false;    ///< in every step
  bool fp4_activations = false;  ///< of NVFP4 layers
};

/// A transformer's denoise step at 1024 x 1024: load, first step, replayed steps, memory.
Json measure_step(const std::string& folder, const StepOptions& options);

}  // namespace ditq::bench
