#pragma once
// Attention on E4M3 codes by cuDNN: one plan for each shape, kept for the life of the process.

#include <map>
#include <memory>
#include <string>

#include <cuda_runtime_api.h>

#include "kernels/cuda_device.h"

namespace ditq {

class AttentionPlans {
 public:
  explicit AttentionPlans(const CudaDeviceInfo& device);
  ~AttentionPlans();
  AttentionPlans(const AttentionPlans&) = delete;
  AttentionPlans& operator=(const AttentionPlans&) = delete;

  std::string why_not(const AttentionE4m3Problem& problem);
  /// Errors: device, where why_not says something or the library fails.
  void run(const AttentionE4m3Problem& problem, cudaStream_t stream);

 private:
  struct Plan;
  struct Library;
  Plan& plan(const AttentionE4m3Problem& problem);

  CudaDeviceInfo device_;
  std::unique_ptr<Library> library_;  ///< opened at the first plan
  std::map<std::string, std::unique_ptr<Plan>> plans_;
};

}  // namespace ditq
