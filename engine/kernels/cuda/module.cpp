// CudaDevice over libtorch's streams, allocator and graphs, and this folder's kernels.

#include <optional>

#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/upload.h"
#include "kernels/cuda_device.h"

namespace ditq {

void cuda_check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  cudaGetLastError();
  throw Error(result == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::device,
              fmt::format("CUDA: {} failed", call), {.found = cudaGetErrorString(result)});
}

namespace {

class TorchGraph : public CudaGraph {
 public:
  TorchGraph(const std::function<void()>& body, at::cuda::MempoolId_t pool) : pool_(pool) {
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      body();
    } catch (...) {
      try {
        graph_.capture_end();
      } catch (const c10::Error&) {
        // The capture is broken by the error that is on its way already.
      }
      throw;
    }
    graph_.capture_end();
  }
  void replay() override { graph_.replay(); }
  at::cuda::MempoolId_t pool() const { return pool_; }

 private:
  at::cuda::CUDAGraph graph_;
  at::cuda::MempoolId_t pool_;
};

class StreamEvent : public CudaEvent {
 public:
  explicit StreamEvent(cudaStream_t stream) {
    cuda_check(cudaEventCreate(&event_), "cudaEventCreate");
    cuda_check(cudaEventRecord(event_, stream), "cudaEventRecord");
  }
  ~StreamEvent() override { cudaEventDestroy(event_); }
  StreamEvent(const StreamEvent&) = delete;
  StreamEvent& operator=(const StreamEvent&) = delete;

  void wait() override { cuda_check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  double milliseconds_since(const CudaEvent& earlier) const override {
    float milliseconds = 0;
    const auto& begin = static_cast<const StreamEvent&>(earlier);
    cuda_check(cudaEventElapsedTime(&milliseconds, begin.event_, event_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

std::size_t bytes_of(std::int64_t value) {
  return value > 0 ? static_cast<std::size_t>(value) : 0;
}

CudaDeviceInfo query(int index) {
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return {.name = properties.name,
          .major = properties.major,
          .minor = properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .memory = properties.totalGlobalMem};
}

class TorchCuda : public CudaDevice {
 public:
  std::vector<CudaDeviceInfo> devices() const override {
    int count = 0;
    cuda_check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    std::vector<CudaDeviceInfo> out;
    for (int i = 0; i < count; ++i) out.push_back(query(i));
    return out;
  }

  void use(int index) override {
    if (index_ == index) return;
    const int count = static_cast<int>(devices().size());
    if (index < 0 || index >= count) {
      throw Error(ErrorCode::device, "there is no such CUDA device",
                  {.expected = fmt::format("cuda:0 to cuda:{}", count - 1),
                   .found = fmt::format("cuda:{}", index)});
    }
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    // Graphs cannot be recorded on the default stream; one stream for everything keeps the order of the calls.
    stream_ = c10::cuda::getStreamFromPool(/*isHighPriority=*/false,
                                           static_cast<c10::DeviceIndex>(index));
    c10::cuda::setCurrentCUDAStream(*stream_);
    side_ = c10::cuda::getStreamFromPool(/*isHighPriority=*/false,
                                         static_cast<c10::DeviceIndex>(index));
    for (cudaEvent_t* event : {&fork_, &joined_}) {
      cuda_check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "cudaEventCreate");
    }
    info_ = query(index);
    gemm_.emplace(info_);
    attention_.emplace(info_);
    // Its threads outlive every destructor: it is never destroyed.
    uploader_ = new Uploader(index, stream());
    index_ = index;
  }

  const CudaDeviceInfo& info() const override { return info_; }

  std::string libraries() const override {
    int driver = 0;
    cuda_check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    const auto blas = static_cast<long>(cublasLtGetVersion());
    const long dnn = at::detail::getCUDAHooks().versionRuntimeCuDNN();
    return fmt::format("cuBLASLt {}.{}.{}, cuDNN {}.{}.{}, driver {}.{}", blas / 10000,
                       blas / 100 % 100, blas % 100, dnn / 10000, dnn / 100 % 100, dnn % 100,
                       driver / 1000, driver / 10 % 100);
  }

  void norm_modulate(const NormModulateProblem& problem) override {
    launch_norm_modulate(problem, current());
  }
  void qk_norm_rope(const QkNormRopeProblem& problem) override {
    launch_qk_norm_rope(problem, current());
  }
  void quantize(const QuantizeProblem& problem) override { launch_quantize(problem, current()); }
  void dequantize(const DequantizeProblem& problem) override {
    launch_dequantize(problem, current());
  }
  void dequantize_nvfp4(const Nvfp4DequantizeProblem& problem) override {
    launch_dequantize_nvfp4(problem, current());
  }
  void quantize_nvfp4(const Nvfp4QuantizeProblem& problem) override {
    launch_quantize_nvfp4(problem, current());
  }

  std::string why_not(const AttentionProblem& problem) override {
    return why_no_attention(problem, info_);
  }
  void attention(const AttentionProblem& problem) override {
    launch_attention(problem, info_.multiprocessors, current());
  }
  std::string why_not(const AttentionE4m3Problem& problem) override {
    return attention_->why_not(problem);
  }
  void attention(const AttentionE4m3Problem& problem) override {
    attention_->run(problem, current());
  }

  void act_as(int major, int minor) override {
    info_.major = major;
    info_.minor = minor;
    gemm_.emplace(info_);
    attention_.emplace(info_);
  }

  std::string why_not(const GemmProblem& problem) override { return gemm_->why_not(problem); }
  void gemm(const GemmProblem& problem) override { gemm_->run(problem, current()); }
  void use_fast_accumulation(bool use) override { gemm_->use_fast_accumulation(use); }
  GemmSearch tune(const GemmProblem& problem) override { return gemm_->tune(problem, stream()); }
  std::vector<GemmUse> products_of(const std::function<void()>& work) override {
    return gemm_->products_of(work);
  }
  int read_gemm_table(const std::string& table, const std::string& path) override {
    return gemm_->read_table(table, path);
  }

  void upload(void* target, const void* source, std::size_t bytes) override {
    if (bytes != 0) uploader_->copy(target, source, bytes);
  }

  void beside(const std::function<void()>& main, const std::function<void()>& side) override {
    if (!uses_side_) {
      side();
      main();
      return;
    }
    order(fork_, stream(), side_->stream());
    // At most one of two runs at a time on the host: the launches of `side` are out before those of `main` begin.
    c10::cuda::setCurrentCUDAStream(*side_);
    try {
      side();
    } catch (...) {
      c10::cuda::setCurrentCUDAStream(*stream_);
      throw;
    }
    cuda_check(cudaEventRecord(joined_, side_->stream()), "cudaEventRecord");
    c10::cuda::setCurrentCUDAStream(*stream_);
    main();
    cuda_check(cudaStreamWaitEvent(stream(), joined_, 0), "cudaStreamWaitEvent");
  }
  void use_side_stream(bool use) override { uses_side_ = use; }

  void synchronize() override {
    cuda_check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
  }
  std::unique_ptr<CudaEvent> record() override { return std::make_unique<StreamEvent>(stream()); }
  std::unique_ptr<CudaGraph> capture(const std::function<void()>& body,
                                     const CudaGraph* companion) override {
    synchronize();
    // A pool lives as long as one of its graphs, so that none can be kept for later ones.
    const auto pool = companion == nullptr ? at::cuda::graph_pool_handle()
                                           : static_cast<const TorchGraph*>(companion)->pool();
    return std::make_unique<TorchGraph>(body, pool);
  }

  CudaMemory memory() const override {
    const auto stats =
        c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(index_));
    constexpr auto kAll = static_cast<std::size_t>(0);
    CudaMemory out{.allocated = bytes_of(stats.allocated_bytes[kAll].current),
                   .reserved = bytes_of(stats.reserved_bytes[kAll].current),
                   .peak_allocated = bytes_of(stats.allocated_bytes[kAll].peak),
                   .peak_reserved = bytes_of(stats.reserved_bytes[kAll].peak)};
    std::size_t total = 0;
    cuda_check(cudaMemGetInfo(&out.free, &total), "cudaMemGetInfo");
    return out;
  }
  void reset_peak_memory() override {
    c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(index_));
  }
  void release_cached() override { c10::cuda::CUDACachingAllocator::emptyCache(); }

 private:
  cudaStream_t stream() const { return stream_->stream(); }
  /// The stream that calls go to now: inside `beside` the second one.
  cudaStream_t current() const {
    return c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(index_)).stream();
  }
  /// What follows on `second` waits for what is on `first` now.
  static void order(cudaEvent_t event, cudaStream_t first, cudaStream_t second) {
    cuda_check(cudaEventRecord(event, first), "cudaEventRecord");
    cuda_check(cudaStreamWaitEvent(second, event, 0), "cudaStreamWaitEvent");
  }

  int index_ = -1;
  CudaDeviceInfo info_;
  std::optional<c10::cuda::CUDAStream> stream_;
  std::optional<c10::cuda::CUDAStream> side_;
  cudaEvent_t fork_ = nullptr;
  cudaEvent_t joined_ = nullptr;
  bool uses_side_ = true;
  std::optional<GemmPlans> gemm_;
  std::optional<AttentionPlans> attention_;
  Uploader* uploader_ = nullptr;
};

}  // namespace
}  // namespace ditq

extern "C" {
/// The interface number of this module.
int ditq_cuda_interface() {
  return ditq::kCudaInterface;
}
/// Lives until the process ends: CUDA is gone by the time that static objects are destroyed.
ditq::CudaDevice* ditq_cuda_device() {
  static auto* const device = new ditq::TorchCuda;
  return device;
}
}
