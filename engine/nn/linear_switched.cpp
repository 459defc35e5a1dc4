// A layer with two kernels, of which a LayerSwitch chooses.

#include <algorithm>
#include <chrono>
#include <utility>

#include "nn/linear_kernel.h"

namespace ditq {
namespace {

class SwitchedKernel : public Linear::Kernel {
 public:
  SwitchedKernel(LinearKernel plain, LinearKernel other, SwitchedLayer& layer)
      : plain_(std::move(plain)), other_(std::move(other)), layer_(layer) {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    using Clock = std::chrono::steady_clock;
    const Kernel& kernel = layer_.quantized ? *other_ : *plain_;
    SwitchedLayer::Side& side = layer_.quantized ? layer_.other : layer_.plain;
    const auto start = Clock::now();
    kernel.run(x, out, post_op);
    ++side.calls;
    // A GPU's calls return before they are done.
    if (!x.is_cpu()) return;
    const std::chrono::duration<double, std::milli> taken = Clock::now() - start;
    side.least_ms = std::min(side.least_ms, taken.count());
  }
  std::int64_t out_features() const override { return plain_->out_features(); }
  LayerRecord describe() const override {
    LayerRecord record = plain_->describe();
    const LayerRecord other = other_->describe();
    record.scheme += " or " + other.scheme;
    record.memory += other.memory;
    return record;
  }

 private:
  LinearKernel plain_;
  LinearKernel other_;
  SwitchedLayer& layer_;
};

/// Bytes of a layer's weight and of what its scheme adds. plain_bits: those of an element of
/// the weight; 0: as stored.
std::uint64_t stored_bytes(const Weights& w, std::uint64_t plain_bits) {
  std::uint64_t bytes = 0;
  for (const char* name : {"weight", "weight_scale", "weight_scale_2", "input_scale",
                           "pre_quant_scale", "svdquant_lora_a", "svdquant_lora_b"}) {
    if (!w.has(name)) continue;
    const ViewedTensor& tensor = w.info(name);
    std::uint64_t elements = 1;
    for (const std::int64_t extent : tensor.shape) elements *= static_cast<std::uint64_t>(extent);
    const bool is_weight = std::string_view(name) == "weight";
    bytes += elements * (is_weight && plain_bits != 0 ? plain_bits : bits(tensor.dtype)) / 8;
  }
  return bytes;
}

}  // namespace

LinearKernel switched_kernel(const Weights& w,
                             const Weights& other,
                             LinearKernel plain,
                             LinearKernel quantized) {
  SwitchedLayer& layer = w.layer_switch()->layer(w.module());
  layer.plain.bytes = stored_bytes(w, /*plain_bits=*/w.dtype() == at::kFloat ? 32 : 16);
  layer.other.bytes = stored_bytes(other, /*plain_bits=*/0);
  return std::make_unique<SwitchedKernel>(std::move(plain), std::move(quantized), layer);
}

}  // namespace ditq
