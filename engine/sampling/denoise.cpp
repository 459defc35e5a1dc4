#include "sampling/denoise.h"

#include "base/interrupt.h"
#include "tensor/create.h"

namespace ditq {

Tensor denoise(const Velocity& velocity,
               Tensor latents,
               const FlowMatchSchedule& schedule,
               const StepListener& after_step) {
  for (std::size_t i = 0; i < schedule.steps(); ++i) {
    check_interrupt();
    const Tensor predicted = velocity(latents, i);
    latents = euler_step(latents, predicted, schedule.sigmas[i], schedule.sigmas[i + 1]);
    after_step(i, latents);
  }
  return latents;
}

Tensor timestep_input(float timestep, std::int64_t batch, at::ScalarType dtype, at::Device device) {
  // On the CPU on purpose: a GPU multiplies by 1 / 1000, which rounds some timesteps to another bf16 value.
  return on_device(filled({batch}, timestep, dtype).div(1000), device);
}

}  // namespace ditq
