// What NVML says about the GPU that CUDA counts first.

#include "kernels/gpu_state.h"

#include <gtest/gtest.h>

#include "kernels/cuda_device.h"

namespace ditq {
namespace {

TEST(GpuState, IsReadForTheDeviceThatCudaCountsFirst) {
  if (find_cuda() == nullptr) GTEST_SKIP() << why_no_cuda();
  const std::string bus_id = pci_bus_id(0);
  ASSERT_FALSE(bus_id.empty());
  const auto state = read_gpu_state(bus_id);
  if (!state) GTEST_SKIP() << "NVML is not there";
  ASSERT_TRUE(state->sm_clock_mhz && state->sm_clock_max_mhz);
  EXPECT_GT(*state->sm_clock_mhz, 0U);
  EXPECT_LE(*state->sm_clock_mhz, *state->sm_clock_max_mhz);
  ASSERT_TRUE(state->temperature_c && state->power_w);
  EXPECT_GT(*state->temperature_c, 0U);
  EXPECT_LT(*state->temperature_c, 120U);
  EXPECT_GT(*state->power_w, 0);
}

TEST(GpuState, ThereIsNoBusIdOfADeviceThatIsNotThere) {
  EXPECT_EQ(pci_bus_id(1000), "");
}

}  // namespace
}  // namespace ditq
