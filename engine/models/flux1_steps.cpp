#include "models/flux1_steps.h"

#include "tensor/create.h"

namespace ditq {

void Flux1Steps::forget() {
  graph_.reset();
  buffers_ = {};
}

bool Flux1Steps::fits(const Tensor& latents, const Flux1Prepared& run) const {
  return buffers_.latents.defined() && buffers_.latents.sizes() == latents.sizes() &&
         buffers_.text.sizes() == run.text.sizes();
}

void Flux1Steps::fill(const Tensor& latents, const Flux1Prepared& run, std::int64_t step) {
  buffers_.latents.copy_(latents);
  buffers_.text.copy_(run.text);
  buffers_.modulations.copy_(run.modulations[step]);
  buffers_.rope.cos.copy_(run.rope.cos);
  buffers_.rope.sin.copy_(run.rope.sin);
}

void Flux1Steps::evaluate() {
  const Tensor out =
      model_.step(buffers_.latents, buffers_.text, buffers_.modulations, buffers_.rope);
  buffers_.velocity.copy_(out);
}

Tensor Flux1Steps::operator()(const Tensor& latents, const Flux1Prepared& run, std::int64_t step) {
  if (!latents.is_cuda()) return model_.step(latents, run.text, run.modulations[step], run.rope);
  if (!fits(latents, run)) {
    graph_.reset();
    const auto like = [](const Tensor& x) { return empty(x.sizes(), x.scalar_type(), x.device()); };
    buffers_ = {.latents = like(latents),
                .text = like(run.text),
                .modulations = like(run.modulations[step]),
                .rope = {like(run.rope.cos), like(run.rope.sin)},
                .velocity = like(latents)};
    fill(latents, run, step);
    evaluate();
    return buffers_.velocity;
  }
  fill(latents, run, step);
  if (graph_ == nullptr) {
    // The graph's tensors come from memory of its own: what the first evaluation used is given back before.
    cuda().synchronize();
    cuda().release_cached();
    graph_ = cuda().capture([this] { evaluate(); });
  }
  graph_->replay();
  return buffers_.velocity;
}

}  // namespace ditq
