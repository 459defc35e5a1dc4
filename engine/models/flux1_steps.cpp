#include "models/flux1_steps.h"

#include "tensor/create.h"

namespace ditq {

void Flux1Steps::forget() {
  recordings_.clear();
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

const CudaGraph* Flux1Steps::any_graph() const {
  for (const auto& [attention, recording] : recordings_) {
    if (recording.graph != nullptr) return recording.graph.get();
  }
  return nullptr;
}

void Flux1Steps::evaluate(AttentionKernel attention) {
  const Tensor out =
      model_.step(buffers_.latents, buffers_.text, buffers_.modulations, buffers_.rope, attention);
  buffers_.velocity.copy_(out);
}

Tensor Flux1Steps::operator()(const Tensor& latents,
                              const Flux1Prepared& run,
                              std::int64_t step,
                              AttentionKernel attention) {
  if (!latents.is_cuda()) {
    return model_.step(latents, run.text, run.modulations[step], run.rope, attention);
  }
  if (!fits(latents, run)) {
    recordings_.clear();
    const auto like = [](const Tensor& x) { return empty(x.sizes(), x.scalar_type(), x.device()); };
    buffers_ = {.latents = like(latents),
                .text = like(run.text),
                .modulations = like(run.modulations[step]),
                .rope = {like(run.rope.cos), like(run.rope.sin)},
                .velocity = like(latents)};
  }
  fill(latents, run, step);
  Recording& recording = recordings_[attention];
  if (!recording.evaluated) {
    evaluate(attention);
    recording.evaluated = true;
    return buffers_.velocity;
  }
  if (recording.graph == nullptr) {
    // The graph's tensors come from memory of its own: what the first evaluation used is given back before.
    cuda().synchronize();
    cuda().release_cached();
    recording.graph = cuda().capture([&] { evaluate(attention); }, any_graph());
  }
  recording.graph->replay();
  return buffers_.velocity;
}

}  // namespace ditq
