#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_choice.h"
#include "kernels/cuda/gemm_search.h"

namespace ditq {
namespace {

/// What cuBLAS recommends for Hopper (cuBLAS guide, cublasSetWorkspace).
constexpr std::size_t kWorkspace = std::size_t{32} << 20;

void blas_check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorCode::device, fmt::format("{} failed", call),
              {.found = cublasLtGetStatusString(status)});
}

cudaDataType_t data_type(GemmType type) {
  return type == GemmType::e4m3 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
}

/// The largest power of two up to 256 that divides all addresses.
std::int32_t common_alignment(std::initializer_list<const void*> addresses) {
  std::uintptr_t bits = 256;
  for (const void* address : addresses) bits |= reinterpret_cast<std::uintptr_t>(address);
  return static_cast<std::int32_t>(bits & (~bits + 1));
}

std::string text_of(const GemmKey& k) {
  return fmt::format("m{} n{} k{} x{} o{} {}>{}{}{}{}{} a{}", k.m, k.n, k.k, k.x_stride,
                     k.out_stride, k.type == 0 ? "bf16" : "e4m3", k.out_type == 0 ? "bf16" : "e4m3",
                     k.bias != 0 ? " bias" : "", k.gelu != 0 ? " gelu" : "",
                     k.row_scales != 0 ? " rows" : "", k.fast != 0 ? " fast" : "", k.alignment);
}

std::string hex(const cublasLtMatmulAlgo_t& algo) {
  std::string out;
  for (const std::uint64_t word : algo.data) out += fmt::format("{:016x}", word);
  return out;
}

bool parse_hex(const std::string& text, cublasLtMatmulAlgo_t& algo) {
  constexpr std::size_t kDigits = 16;
  if (text.size() != kDigits * std::size(algo.data)) return false;
  for (std::size_t i = 0; i < std::size(algo.data); ++i) {
    algo.data[i] = std::strtoull(text.substr(i * kDigits, kDigits).c_str(), nullptr, 16);
  }
  return true;
}

cublasLtEpilogue_t epilogue(const GemmKey& key) {
  if (key.gelu != 0) return key.bias != 0 ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return key.bias != 0 ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

}  // namespace

/// cuBLASLt counts columns first, so that our row-major out = x W^T is its out^T = W^T' x^T: its A is the weight, its B
/// the activations, and the bias runs along its rows.
struct GemmPlans::Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, x = nullptr, addend = nullptr, out = nullptr;
  std::vector<cublasLtMatmulAlgo_t> candidates;
  cublasLtMatmulAlgo_t algo{};
  std::string why_not;

  template <typename Value>
  void set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    blas_check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)),
               "cublasLtMatmulDescSetAttribute");
  }
  void set_pointers(const GemmProblem& p) {
    if (p.bias != nullptr) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    if (p.type == GemmType::e4m3) {
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.weight_scale);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.input_scale);
    }
    if (p.out_type == GemmType::e4m3) set(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, p.out_scale);
  }
};

GemmPlans::GemmPlans(const CudaDeviceInfo& device) : device_(device) {
  blas_check(cublasLtCreate(&handle_), "cublasLtCreate");
}

GemmPlans::~GemmPlans() {
  for (auto& [key, plan] : plans_) {
    if (plan.operation != nullptr) cublasLtMatmulDescDestroy(plan.operation);
    for (const auto layout : {plan.weight, plan.x, plan.addend, plan.out}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
  }
  for (const auto& [stream, memory] : workspaces_) cudaFree(memory);
  cublasLtDestroy(handle_);
}

GemmPlans::Plan GemmPlans::make_plan(const GemmKey& key, const GemmProblem& problem) {
  Plan plan;
  const auto layout = [](cublasLtMatrixLayout_t& to, cudaDataType_t type, std::int64_t rows,
                         std::int64_t columns, std::int64_t stride) {
    blas_check(cublasLtMatrixLayoutCreate(&to, type, static_cast<std::uint64_t>(rows),
                                          static_cast<std::uint64_t>(columns), stride),
               "cublasLtMatrixLayoutCreate");
  };
  const auto type = data_type(static_cast<GemmType>(key.type));
  const auto out_type = data_type(static_cast<GemmType>(key.out_type));
  layout(plan.weight, type, key.k, key.n, key.k);
  layout(plan.x, type, key.k, key.m, key.x_stride);
  layout(plan.out, out_type, key.n, key.m, key.out_stride);
  // With E4M3 results there is no addend, but its type must be the bias's.
  layout(plan.addend, CUDA_R_16BF, key.n, key.m, key.out_stride);

  blas_check(cublasLtMatmulDescCreate(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "cublasLtMatmulDescCreate");
  plan.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  plan.set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(key));
  if (key.bias != 0) plan.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
  if (key.fast != 0) plan.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{1});
  if (key.row_scales != 0) {
    plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
    plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
  }
  // The heuristics refuse a problem with scales of rows whose addresses are not known yet.
  plan.set_pointers(problem);
  choose(plan, key);
  return plan;
}

void GemmPlans::choose(Plan& plan, const GemmKey& key) {
  constexpr int kCandidates = 32;
  cublasLtMatmulPreference_t preference = nullptr;
  blas_check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
  const auto alignment = static_cast<std::uint32_t>(key.alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment);
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation, plan.weight, plan.x, plan.addend,
                                     plan.out, preference, kCandidates, results.data(), &found);
  cublasLtMatmulPreferenceDestroy(preference);
  for (int i = 0; i < found; ++i) {
    const auto& result = results.at(static_cast<std::size_t>(i));
    if (result.state == CUBLAS_STATUS_SUCCESS) plan.candidates.push_back(result.algo);
  }
  if (plan.candidates.empty()) {
    plan.why_not = fmt::format("cuBLASLt has no kernel for {} ({})", text_of(key),
                               cublasLtGetStatusString(status));
    return;
  }
  plan.algo = plan.candidates.front();
  if (const auto known = known_.find(text_of(key)); known != known_.end()) {
    const auto& [algo, path] = known->second;
    if (!offers(plan, algo)) {
      throw Error(ErrorCode::bad_kernel_table, "a table of kernels names one that does not exist",
                  {.path = path,
                   .expected = "a kernel that cuBLASLt offers for " + text_of(key),
                   .found = hex(algo),
                   .advice = "remove that line and search again with --tune-kernels true"});
    }
    plan.algo = algo;
    return;
  }
  const auto choice = measured_choice(key, device_, cublasLtGetVersion());
  cublasLtMatmulAlgo_t algo = plan.candidates.front();
  if (choice && apply_choice(*choice, algo) && offers(plan, algo)) plan.algo = algo;
}

bool GemmPlans::offers(const Plan& plan, const cublasLtMatmulAlgo_t& algo) const {
  cublasLtMatmulHeuristicResult_t check{};
  return cublasLtMatmulAlgoCheck(handle_, plan.operation, plan.weight, plan.x, plan.addend,
                                 plan.out, &algo, &check) == CUBLAS_STATUS_SUCCESS &&
         check.workspaceSize <= kWorkspace;
}

GemmKey GemmPlans::key_of(const GemmProblem& p) const {
  return {.m = p.m,
          .n = p.n,
          .k = p.k,
          .x_stride = p.x_stride,
          .out_stride = p.out_stride,
          .type = static_cast<std::int32_t>(p.type),
          .out_type = static_cast<std::int32_t>(p.out_type),
          .bias = p.bias != nullptr,
          .gelu = p.gelu,
          .row_scales = p.row_scales,
          .fast = fast_ && p.type == GemmType::e4m3,
          .alignment = common_alignment({p.x, p.weight, p.out, p.bias})};
}

GemmPlans::Plan& GemmPlans::plan(const GemmProblem& problem) {
  const GemmKey key = key_of(problem);
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;
  return plans_.emplace(key, make_plan(key, problem)).first->second;
}

std::string GemmPlans::why_not(const GemmProblem& p) {
  if (p.type == GemmType::e4m3) {
    const int capability = device_.major * 10 + device_.minor;
    if (capability < 89) {
      return fmt::format("compute capability {}.{} has no FP8 products", device_.major,
                         device_.minor);
    }
    if (p.row_scales && capability != 90) return "scales of rows need compute capability 9.0";
    const std::int64_t extents = p.n | p.k | p.x_stride | p.out_stride;
    if (extents % 16 != 0 || common_alignment({p.x, p.weight, p.out, p.bias}) < 16) {
      return "FP8 products need extents, strides and addresses that are multiples of 16";
    }
  }
  return plan(p).why_not;
}

void* GemmPlans::workspace(cudaStream_t stream) {
  void*& memory = workspaces_[stream];
  if (memory == nullptr) cuda_check(cudaMalloc(&memory, kWorkspace), "cudaMalloc");
  return memory;
}

cublasStatus_t GemmPlans::launch(Plan& plan, const GemmProblem& p, cudaStream_t stream) {
  plan.set_pointers(p);
  const bool codes = p.out_type == GemmType::e4m3;
  const float zero = 0;
  return cublasLtMatmul(handle_, plan.operation, &p.alpha, p.weight, plan.weight, p.x, plan.x,
                        &zero, codes ? nullptr : p.out, plan.addend, p.out, plan.out, &plan.algo,
                        workspace(stream), kWorkspace, stream);
}

void GemmPlans::run(const GemmProblem& problem, cudaStream_t stream) {
  if (problem.m == 0) return;
  Plan& chosen = plan(problem);
  if (!chosen.why_not.empty()) throw Error(ErrorCode::device, chosen.why_not);
  if (uses_ != nullptr) note(problem);
  const cublasStatus_t status = launch(chosen, problem, stream);
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorCode::device, "a matrix product failed",
              {.expected = text_of(key_of(problem)), .found = cublasLtGetStatusString(status)});
}

void GemmPlans::note(const GemmProblem& problem) {
  const auto same = [&, key = key_of(problem)](const GemmUse& use) {
    return key_of(use.problem) == key;
  };
  const auto found = std::ranges::find_if(*uses_, same);
  if (found == uses_->end()) {
    uses_->push_back({problem, 1});
  } else {
    ++found->launches;
  }
}

std::vector<GemmUse> GemmPlans::products_of(const std::function<void()>& work) {
  std::vector<GemmUse> uses;
  uses_ = &uses;
  try {
    work();
  } catch (...) {
    uses_ = nullptr;
    throw;
  }
  uses_ = nullptr;
  return uses;
}

GemmSearch GemmPlans::tune(const GemmProblem& problem, cudaStream_t stream) {
  Plan& chosen = plan(problem);
  if (!chosen.why_not.empty()) throw Error(ErrorCode::unsupported, chosen.why_not);
  const auto offered = [&](const cublasLtMatmulAlgo_t& algo) { return offers(chosen, algo); };
  const auto run = [&](const cublasLtMatmulAlgo_t& algo) {
    chosen.algo = algo;
    return launch(chosen, problem, stream) == CUBLAS_STATUS_SUCCESS;
  };
  const auto best = search_gemm(chosen.candidates, offered, run, stream);
  if (best.empty()) {
    throw Error(ErrorCode::device, "none of the library's kernels runs",
                {.expected = text_of(key_of(problem))});
  }
  chosen.algo = best.front().algo;
  GemmSearch out{.finalists = {},
                 .table_line = line_prefix() + text_of(key_of(problem)) + "|" + hex(chosen.algo)};
  for (const TimedAlgo& timed : best) {
    out.finalists.push_back({describe_algo(timed.algo), timed.milliseconds, timed.is_first});
  }
  return out;
}

std::string GemmPlans::line_prefix() const {
  return fmt::format("{}|{}|", device_.name, cublasLtGetVersion());
}

int GemmPlans::read_table(const std::string& table, const std::string& path) {
  std::istringstream lines(table);
  const std::string prefix = line_prefix();
  int taken = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(prefix)) continue;
    const std::size_t bar = line.rfind('|');
    cublasLtMatmulAlgo_t algo{};
    if (bar < prefix.size() || !parse_hex(line.substr(bar + 1), algo)) continue;
    known_[line.substr(prefix.size(), bar - prefix.size())] = {algo, path};
    ++taken;
  }
  return taken;
}

}  // namespace ditq
