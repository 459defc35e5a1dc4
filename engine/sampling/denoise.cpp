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
    const Tensor timestep =
        timestep_input(schedule.timesteps[i], latents.size(0), latents.scalar_type());
    const Tensor predicted = velocity(latents, timestep);
    latents = euler_step(latents, predicted, schedule.sigmas[i], schedule.sigmas[i + 1]);
    after_step(i, latents);
  }
  return latents;
}

Tensor timestep_input(float timestep, std::int64_t batch, at::ScalarType dtype) {
  return filled({batch}, timestep, dtype).div(1000);
}

}  // namespace ditq
