#pragma once
// Products by cuBLASLt: one plan for each shape, kept for the life of the process.

#include <map>
#include <string>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda_device.h"

namespace ditq {

/// What decides the kernel: everything of a problem but its addresses, of which the alignment counts.
struct GemmKey {
  std::int64_t m, n, k, x_stride, out_stride;
  std::int32_t type, out_type, bias, gelu, row_scales, fast, alignment;
  auto operator<=>(const GemmKey&) const = default;
};

class GemmPlans {
 public:
  /// For the current device. Errors: device, out_of_memory.
  explicit GemmPlans(const CudaDeviceInfo& device);
  ~GemmPlans();
  GemmPlans(const GemmPlans&) = delete;
  GemmPlans& operator=(const GemmPlans&) = delete;

  std::string why_not(const GemmProblem& problem);
  void run(const GemmProblem& problem, cudaStream_t stream);
  GemmSearch tune(const GemmProblem& problem, cudaStream_t stream);
  std::vector<GemmUse> products_of(const std::function<void()>& work);

  void use_fast_accumulation(bool use) { fast_ = use; }

  int read_table(const std::string& table, const std::string& path);

 private:
  struct Plan;
  GemmKey key_of(const GemmProblem& problem) const;
  Plan& plan(const GemmProblem& problem);
  Plan make_plan(const GemmKey& key, const GemmProblem& problem);
  /// Whether the library has this kernel for the product.
  bool offers(const Plan& plan, const cublasLtMatmulAlgo_t& algo) const;
  /// From a table, what was measured, or the heuristics' first.
  void choose(Plan& plan, const GemmKey& key);
  void note(const GemmProblem& problem);
  cublasStatus_t launch(Plan& plan, const GemmProblem& problem, cudaStream_t stream);
  void* workspace(cudaStream_t stream);
  std::string line_prefix() const;

  CudaDeviceInfo device_;
  cublasLtHandle_t handle_ = nullptr;
  bool fast_ = false;
  std::map<cudaStream_t, void*> workspaces_;  ///< one each: streams run beside one another
  std::map<GemmKey, Plan> plans_;
  /// A kernel from a table, and the table's path.
  struct Known {
    cublasLtMatmulAlgo_t algo;
    std::string path;
  };
  std::map<std::string, Known> known_;    ///< by the key's text
  std::vector<GemmUse>* uses_ = nullptr;  ///< where launches are noted, if anywhere
};

}  // namespace ditq
