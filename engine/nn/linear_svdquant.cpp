// SVDQuant: a smoothed layer with a low-rank branch beside it (ModelOpt reference 4).

#include <utility>

#include "base/error.h"
#include "nn/linear_kernel.h"
#include "ops/activation.h"
#include "tensor/create.h"

namespace ditq {
namespace {

class SvdquantKernel : public Linear::Kernel {
 public:
  SvdquantKernel(LinearKernel inner, Tensor pre_quant_scale, const Tensor& a, const Tensor& b)
      : inner_(std::move(inner)),
        pre_quant_scale_(std::move(pre_quant_scale)),
        down_(plain_kernel(a, {})),
        up_(plain_kernel(b, {})) {}

  void run(const Tensor& x, const Tensor& out, PostOp post_op) const override {
    const Tensor smoothed = x.mul(pre_quant_scale_);
    const Tensor narrow = empty({x.size(0), down_->out_features()}, x.scalar_type(), x.device());
    const Tensor branch = empty({x.size(0), up_->out_features()}, x.scalar_type(), x.device());
    down_->run(smoothed, narrow, PostOp::none);
    up_->run(narrow, branch, PostOp::none);
    inner_->run(smoothed, out, PostOp::none);
    out.add_(branch);
    if (post_op == PostOp::gelu_tanh) out.copy_(gelu_tanh(out));
  }
  std::int64_t out_features() const override { return inner_->out_features(); }
  LayerRecord describe() const override {
    LayerRecord record = inner_->describe();
    record.scheme += "+svdquant";
    record.memory += pre_quant_scale_.nbytes() + down_->describe().memory + up_->describe().memory;
    return record;
  }

 private:
  LinearKernel inner_;
  Tensor pre_quant_scale_;
  LinearKernel down_, up_;
};

/// A factor [rows, columns] of which one extent is the rank. Errors: missing_tensor, wrong_shape.
const Shape& factor_shape(const Weights& w, const char* name) {
  const Shape& shape = w.info(name).shape;
  if (shape.size() == 2) return shape;
  throw Error(ErrorCode::wrong_shape, "a low-rank factor is not a matrix",
              facts(w, name, "two extents", to_string(shape)));
}

}  // namespace

bool has_svdquant(const Weights& w) {
  return w.has("pre_quant_scale") || w.has("svdquant_lora_a") || w.has("svdquant_lora_b");
}

LinearKernel svdquant_kernel(const Weights& w, std::int64_t k, std::int64_t n, LinearKernel inner) {
  const std::int64_t rank = factor_shape(w, "svdquant_lora_a").front();
  factor_shape(w, "svdquant_lora_b");
  return std::make_unique<SvdquantKernel>(std::move(inner), w.plain("pre_quant_scale", {k}),
                                          w.plain("svdquant_lora_a", {rank, k}),
                                          w.plain("svdquant_lora_b", {n, rank}));
}

}  // namespace ditq
