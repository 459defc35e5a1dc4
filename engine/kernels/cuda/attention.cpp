// Source: cudnn-frontend 1.18, samples/cpp/sdpa/fp8_fwd.cpp and node/sdpa_support_surface.h (what Hopper takes:
// per-tensor scales, E4M3 results, any strides).

#include "kernels/cuda/attention.h"

#include <cstdint>
#include <unordered_map>
#include <utility>

#include <cudnn_frontend.h>
#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cuda/check.h"

namespace ditq {
namespace {

namespace fe = cudnn_frontend;
using GraphTensor = std::shared_ptr<fe::graph::Tensor_attributes>;

/// Names of a graph's tensors.
enum Uid : std::int64_t {
  kQ = 1,
  kK,
  kV,
  kOut,
  kQScale,
  kKScale,
  kVScale,
  kWeightInverse,
  kWeightScale,
  kOutInverse
};

void dnn_check(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(ErrorCode::device, fmt::format("{} failed", call),
              {.found = cudnnGetErrorString(status)});
}

/// What decides the kernel: everything of a problem but its addresses.
std::string text_of(const AttentionE4m3Problem& p) {
  std::string out =
      fmt::format("b{} l{} h{} d{} x{}", p.batch, p.tokens, p.heads, p.head_dim, p.scale);
  for (const CodeView* view : {&p.q, &p.k, &p.v, &p.out}) {
    out += fmt::format(" {}/{}", view->batch_stride, view->row_stride);
  }
  return out;
}

fe::graph::Tensor_attributes codes(const char* name,
                                   Uid uid,
                                   const AttentionE4m3Problem& p,
                                   const CodeView& view) {
  return fe::graph::Tensor_attributes()
      .set_name(name)
      .set_uid(uid)
      .set_dim({p.batch, p.heads, p.tokens, p.head_dim})
      .set_stride({view.batch_stride, p.head_dim, view.row_stride, 1})
      .set_data_type(fe::DataType_t::FP8_E4M3);
}

GraphTensor value(fe::graph::Graph& graph, const char* name, Uid uid) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_name(name)
                          .set_uid(uid)
                          .set_dim({1, 1, 1, 1})
                          .set_stride({1, 1, 1, 1})
                          .set_data_type(fe::DataType_t::FLOAT));
}

void describe(fe::graph::Graph& graph, const AttentionE4m3Problem& p) {
  graph.set_io_data_type(fe::DataType_t::FP8_E4M3)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const auto outputs = graph.sdpa_fp8(
      graph.tensor(codes("q", kQ, p, p.q)), graph.tensor(codes("k", kK, p, p.k)),
      graph.tensor(codes("v", kV, p, p.v)), value(graph, "q_scale", kQScale),
      value(graph, "k_scale", kKScale), value(graph, "v_scale", kVScale),
      value(graph, "weight_scale", kWeightScale), value(graph, "weight_inverse", kWeightInverse),
      value(graph, "out_inverse", kOutInverse),
      fe::graph::SDPA_fp8_attributes()
          .set_name("attention")
          .set_generate_stats(false)
          .set_attn_scale(static_cast<float>(p.scale)));
  outputs[0]
      ->set_output(true)
      .set_uid(kOut)
      .set_dim({p.batch, p.heads, p.tokens, p.head_dim})
      .set_stride({p.out.batch_stride, p.head_dim, p.out.row_stride, 1})
      .set_data_type(fe::DataType_t::FP8_E4M3);
  // The largest weight and result, which nobody reads.
  for (const std::size_t unused : {2U, 3U}) {
    outputs[unused]
        ->set_output(false)
        .set_dim({1, 1, 1, 1})
        .set_stride({1, 1, 1, 1})
        .set_data_type(fe::DataType_t::FLOAT);
  }
}

}  // namespace

struct AttentionPlans::Library {
  cudnnHandle_t handle = nullptr;

  Library() { dnn_check(cudnnCreate(&handle), "cudnnCreate"); }
  ~Library() { cudnnDestroy(handle); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

struct AttentionPlans::Plan {
  fe::graph::Graph graph;
  void* workspace = nullptr;
  std::string why_not;

  Plan(cudnnHandle_t handle, const AttentionE4m3Problem& problem) {
    describe(graph, problem);
    const auto good = [this](fe::error_t status) {
      if (status.is_good()) return true;
      // What follows the first line is a log of every engine that was tried.
      const std::string message = status.get_message();
      why_not = "cuDNN has no FP8 attention for this shape (" +
                message.substr(0, message.find('\n')) + ")";
      return false;
    };
    std::int64_t bytes = 0;
    const bool built = good(graph.validate()) && good(graph.build_operation_graph(handle)) &&
                       good(graph.create_execution_plans({fe::HeurMode_t::A})) &&
                       good(graph.check_support(handle)) &&
                       good(graph.build_plans(handle, fe::BuildPlanPolicy_t::HEURISTICS_CHOICE)) &&
                       good(graph.get_workspace_size(bytes));
    if (!built || bytes == 0) return;
    cuda_check(cudaMalloc(&workspace, static_cast<std::size_t>(bytes)), "cudaMalloc");
  }
  ~Plan() { cudaFree(workspace); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
};

AttentionPlans::AttentionPlans(const CudaDeviceInfo& device) : device_(device) {}
AttentionPlans::~AttentionPlans() = default;

AttentionPlans::Plan& AttentionPlans::plan(const AttentionE4m3Problem& problem) {
  std::unique_ptr<Plan>& plan = plans_[text_of(problem)];
  if (plan != nullptr) return *plan;
  if (library_ == nullptr) library_ = std::make_unique<Library>();
  plan = std::make_unique<Plan>(library_->handle, problem);
  return *plan;
}

std::string AttentionPlans::why_not(const AttentionE4m3Problem& p) {
  if (device_.major < 9) {
    return fmt::format("FP8 attention needs compute capability 9.0, this device has {}.{}",
                       device_.major, device_.minor);
  }
  if (p.tokens < 2) return "FP8 attention needs more than one token";
  if (p.head_dim % 16 != 0) return "FP8 attention needs heads of a multiple of 16 channels";
  return plan(p).why_not;
}

void AttentionPlans::run(const AttentionE4m3Problem& p, cudaStream_t stream) {
  if (p.batch * p.tokens * p.heads == 0) return;
  Plan& chosen = plan(p);
  if (!chosen.why_not.empty()) throw Error(ErrorCode::device, chosen.why_not);
  dnn_check(cudnnSetStream(library_->handle, stream), "cudnnSetStream");
  const auto address = [](const float* value) { return const_cast<float*>(value); };
  std::unordered_map<std::int64_t, void*> pack{{kQ, p.q.data},
                                               {kK, p.k.data},
                                               {kV, p.v.data},
                                               {kOut, p.out.data},
                                               {kQScale, address(p.q_scale)},
                                               {kKScale, address(p.k_scale)},
                                               {kVScale, address(p.v_scale)},
                                               {kWeightScale, address(p.weight_scale)},
                                               {kWeightInverse, address(p.weight_inverse)},
                                               {kOutInverse, address(p.out_inverse)}};
  fe::error_t status = chosen.graph.execute(library_->handle, pack, chosen.workspace);
  if (status.is_good()) return;
  throw Error(ErrorCode::device, "FP8 attention failed",
              {.expected = text_of(p), .found = status.get_message()});
}

}  // namespace ditq
