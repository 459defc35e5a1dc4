#pragma once
// What the engine asks of CUDA: kernels on raw pointers, and the few services of a device that libtorch's CPU library
// does not offer. Implemented by libditq_cuda.so (kernels/cuda), which is opened only where there is a GPU; nothing here
// names a CUDA or torch type, so that code which calls it builds everywhere.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ditq {

/// [B, L, C] tokens: channels contiguous, any strides (in elements) of batch and token.
struct TokenView {
  void* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t row_stride = 0;
};

/// [B, C] vectors, one for each picture: channels contiguous, bf16.
struct VectorView {
  const void* data = nullptr;
  std::int64_t batch_stride = 0;
};

/// x += gate * y (where y is given), then LayerNorm(x) * (1 + scale) + shift (where out is given), in bf16 with the
/// rounding points of the plain operations (ops/modulate.h).
struct NormModulateProblem {
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t width = 0;  ///< a multiple of 8, at most 8192
  TokenView x;             ///< bf16; written where y is given
  TokenView y;             ///< bf16, or no data
  VectorView gate;
  VectorView shift;
  VectorView scale;
  TokenView out;            ///< bf16, or E4M3 codes of value * inverse_scale; or no data
  bool e4m3 = false;        ///< out holds codes
  float inverse_scale = 1;  ///< of the codes
  double epsilon = 1e-6;    ///< added to the variance
};

/// [B, L, C] E4M3 codes: channels contiguous, strides in bytes.
struct CodeView {
  void* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t row_stride = 0;
};

/// RMS norm of every head of queries and keys and their rotation, in place, or into E4M3 codes where these are given.
/// Tokens below `text_tokens` take the first pair of weights, the others the second.
struct QkNormRopeProblem {
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;  ///< 64, 128 or 256
  std::int64_t text_tokens = 0;
  TokenView q;                   ///< [B, L, Nh * Dh] bf16
  TokenView k;                   ///< the same
  const void* text_q = nullptr;  ///< [Dh] bf16
  const void* text_k = nullptr;
  const void* image_q = nullptr;
  const void* image_k = nullptr;
  const float* cos = nullptr;  ///< [L, Dh / 2]
  const float* sin = nullptr;
  double epsilon = 1e-6;  ///< added to the mean square
  CodeView q_codes;       ///< codes of value * inverse, saturating; or no data
  CodeView k_codes;
  float q_inverse = 1;
  float k_inverse = 1;
  TokenView v;  ///< with codes: [B, L, Nh * Dh] bf16, of which largest_v is found
  std::uint32_t* largest_v =
      nullptr;  ///< with codes: raised to the bits of the largest |v|, as f32
};

/// bf16 values become E4M3 codes of value * inverse_scale, saturating; with `gelu`, of gelu_tanh(value) rounded to bf16.
struct QuantizeProblem {
  std::int64_t rows = 0;
  std::int64_t columns = 0;  ///< a multiple of 8
  const void* x = nullptr;
  std::int64_t x_stride = 0;  ///< elements, a multiple of 8
  void* out = nullptr;
  std::int64_t out_stride = 0;  ///< bytes, a multiple of 8
  float inverse_scale = 1;
  bool gelu = false;
  /// Where given, one device value that the scale is made of instead: largest / 448, or 1 where largest is 0.
  const float* largest = nullptr;
  float* made_scale = nullptr;  ///< with `largest`: receives the scale, and behind it its inverse
};

/// bf16 values of E4M3 codes: round(code * scale).
struct DequantizeProblem {
  std::int64_t rows = 0;
  std::int64_t columns = 0;  ///< a multiple of 8
  const void* codes = nullptr;
  std::int64_t codes_stride = 0;  ///< bytes, a multiple of 8
  void* out = nullptr;
  std::int64_t out_stride = 0;   ///< elements, a multiple of 8
  const float* scale = nullptr;  ///< one device value
};

/// A weight of E2M1 codes and E4M3 block scales becomes bf16: code * block scale, which is exact.
struct Nvfp4DequantizeProblem {
  std::int64_t rows = 0;
  std::int64_t columns = 0;      ///< a multiple of 16
  const void* codes = nullptr;   ///< [rows, columns / 2], the even column in the low nibble
  const void* scales = nullptr;  ///< [rows, columns / 16] E4M3
  void* out = nullptr;           ///< [rows, columns] bf16, contiguous
};

/// bf16 activations become what an FP4 unit sees of them (ops/nvfp4.h), held in bf16.
struct Nvfp4QuantizeProblem {
  std::int64_t rows = 0;
  std::int64_t columns = 0;  ///< a multiple of 16
  const void* x = nullptr;
  std::int64_t x_stride = 0;  ///< elements, a multiple of 8
  void* out = nullptr;        ///< [rows, columns] bf16, contiguous
  float input_scale = 1;
};

/// softmax(q k^T) v of E4M3 codes (ops/attention_fp8.h). Everything is [B, L, Nh * Dh].
struct AttentionE4m3Problem {
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  CodeView q, k, v;
  CodeView out;      ///< codes of value * out_inverse
  double scale = 1;  ///< of the scores
  /// One device value each.
  const float* q_scale = nullptr;
  const float* k_scale = nullptr;
  const float* v_scale = nullptr;
  const float* weight_scale = nullptr;    ///< of the softmax's weights' codes
  const float* weight_inverse = nullptr;  ///< its inverse
  const float* out_inverse = nullptr;
};

/// softmax(q k^T) v of bf16 heads of 128 channels, in bf16 or, rounded to bf16 first, in E4M3 codes.
struct AttentionProblem {
  std::int64_t batch = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  TokenView q;                   ///< [B, queries, Nh * Dh] bf16, strides multiples of 8
  TokenView k, v;                ///< [B, keys, Nh * Dh], likewise
  TokenView out;                 ///< as q, bf16 or codes; rows of codes at multiples of 16 bytes
  double scale = 1;              ///< of the scores
  bool e4m3 = false;             ///< out holds codes of value * inverse, saturating
  std::int64_t text_tokens = 0;  ///< queries below take text_inverse, the others image_inverse
  float text_inverse = 1;
  float image_inverse = 1;
};

enum class GemmType { bf16, e4m3 };

/// out[m, n] = round(scales * sum_k x[m, k] w[n, k] + bias[n]), summed in f32.
struct GemmProblem {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  GemmType type = GemmType::bf16;       ///< of x and weight
  const void* x = nullptr;              ///< [M, K]
  std::int64_t x_stride = 0;            ///< elements
  const void* weight = nullptr;         ///< [N, K], contiguous
  const void* bias = nullptr;           ///< bf16 [N], or none
  float alpha = 1;                      ///< of bf16 products
  const float* weight_scale = nullptr;  ///< e4m3: one device value, or N of them with `row_scales`
  const float* input_scale = nullptr;   ///< e4m3: one device value; with `row_scales`, M of them
  bool row_scales = false;
  bool gelu = false;            ///< gelu_tanh of the f32 value before it is rounded
  void* out = nullptr;          ///< [M, N] bf16, or E4M3 codes
  std::int64_t out_stride = 0;  ///< elements
  GemmType out_type = GemmType::bf16;
  const float* out_scale = nullptr;  ///< e4m3 out: one device value that multiplies
};

/// One way to run a product that cuBLASLt offers.
struct GemmCandidate {
  std::string algorithm;   ///< "tile 20, cluster 5, option 2, swizzle 0, K in 1 parts"
  float milliseconds = 0;  ///< when it runs alone for half a second
  bool is_first = false;   ///< the heuristics' first choice
};

/// What a search found for a product.
struct GemmSearch {
  std::vector<GemmCandidate> finalists;  ///< fastest first, the heuristics' first choice among them
  std::string table_line;                ///< the fastest, as read_gemm_table takes it
};

/// A product that some work launched.
struct GemmUse {
  GemmProblem problem;  ///< its addresses tell what was given, and are not valid any more
  std::int64_t launches = 0;
};

struct CudaDeviceInfo {
  std::string name;          ///< "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  std::size_t memory = 0;  ///< bytes
};

/// Bytes on the device.
struct CudaMemory {
  std::size_t allocated = 0;       ///< tensors, now
  std::size_t reserved = 0;        ///< kept by the allocator, now
  std::size_t peak_allocated = 0;  ///< since reset_peak_memory
  std::size_t peak_reserved = 0;
  std::size_t free = 0;  ///< of the whole device, now
};

/// Device work recorded once, replayed with one call.
class CudaGraph {
 public:
  virtual ~CudaGraph() = default;
  virtual void replay() = 0;
};

/// A point in the device's work.
class CudaEvent {
 public:
  virtual ~CudaEvent() = default;
  virtual void wait() = 0;  ///< until the device has passed it
  /// Device time between two points that have passed.
  virtual double milliseconds_since(const CudaEvent& earlier) const = 0;
};

/// All work goes to one stream of the chosen device, in the order of the calls; what `beside` runs is the exception.
class CudaDevice {
 public:
  virtual ~CudaDevice() = default;

  virtual std::vector<CudaDeviceInfo> devices() const = 0;
  /// Makes a device current for this thread. Errors: device.
  virtual void use(int index) = 0;
  /// The device in use.
  virtual const CudaDeviceInfo& info() const = 0;
  /// "cuBLASLt 13.1.0, cuDNN 9.19.0, driver 13.0".
  virtual std::string libraries() const = 0;

  virtual void norm_modulate(const NormModulateProblem& problem) = 0;
  virtual void qk_norm_rope(const QkNormRopeProblem& problem) = 0;
  virtual void quantize(const QuantizeProblem& problem) = 0;
  virtual void dequantize(const DequantizeProblem& problem) = 0;
  virtual void dequantize_nvfp4(const Nvfp4DequantizeProblem& problem) = 0;
  virtual void quantize_nvfp4(const Nvfp4QuantizeProblem& problem) = 0;

  /// Empty if the device has ditq's own kernel for the problem, else why not.
  virtual std::string why_not(const AttentionProblem& problem) = 0;
  virtual void attention(const AttentionProblem& problem) = 0;

  /// Empty if cuDNN has a kernel for the problem, else why not. The kernel, whose making takes up to a second, is kept
  /// for its shape and strides; addresses do not matter.
  virtual std::string why_not(const AttentionE4m3Problem& problem) = 0;
  virtual void attention(const AttentionE4m3Problem& problem) = 0;

  /// Empty if cuBLASLt has a kernel for the problem, else why not. The answer and the kernel are kept for its shape.
  virtual std::string why_not(const GemmProblem& problem) = 0;
  virtual void gemm(const GemmProblem& problem) = 0;
  /// Whether sums of E4M3 products stay in the matrix units' own accumulators (22 bits) over the whole of K, instead of
  /// being added to f32 registers in between. They do where it is asked for.
  virtual void use_fast_accumulation(bool use) = 0;
  /// Searches the kernels that cuBLASLt offers, about half a minute long; the fastest is used from now on.
  virtual GemmSearch tune(const GemmProblem& problem) = 0;
  /// Takes kernels from a table: lines "device|library version|product|kernel", of which those of other devices and
  /// library versions are skipped. They count for products that have not run yet. Returns how many were taken.
  /// A product whose kernel the library does not have is an error (bad_kernel_table), which names `path`.
  virtual int read_gemm_table(const std::string& table, const std::string& path) = 0;
  /// The products that `work` launches, in the order in which they first appear.
  virtual std::vector<GemmUse> products_of(const std::function<void()>& work) = 0;

  /// Copies host bytes to the device through pinned memory. Returns as soon as `source` may change.
  virtual void upload(void* target, const void* source, std::size_t bytes) = 0;

  /// Runs two pieces of work that do not depend on one another: `side` on a second stream beside `main`. What comes after
  /// waits for both. `main` and `side` must not free tensors that the other one uses.
  virtual void beside(const std::function<void()>& main, const std::function<void()>& side) = 0;
  /// Whether beside uses the second stream (it does unless told otherwise: for measuring what that gives).
  virtual void use_side_stream(bool use) = 0;
  /// Makes it choose from now on as on a device of this compute capability, which must not be above its own. For tests of
  /// what other devices would run.
  virtual void act_as(int major, int minor) = 0;

  virtual void synchronize() = 0;
  virtual std::unique_ptr<CudaEvent> record() = 0;
  /// Records the device work of `body`, which must have run once before. Tensors that it makes live as long as the
  /// graph; the memory of those that it frees again is shared with that of `companion`, a graph that never runs
  /// beside it.
  virtual std::unique_ptr<CudaGraph> capture(const std::function<void()>& body,
                                             const CudaGraph* companion = nullptr) = 0;

  virtual CudaMemory memory() const = 0;
  virtual void reset_peak_memory() = 0;
  /// Gives memory that no tensor uses back to the device.
  virtual void release_cached() = 0;
};

/// The devices of this machine, or nullptr where there is none; opens libditq_cuda.so at the first call, which must
/// come before the first tensor operation of the process: libtorch remembers that there was no CUDA.
CudaDevice* find_cuda();

/// Why find_cuda gave nothing, such as "no NVIDIA driver (libcuda.so.1: …)".
const std::string& why_no_cuda();

/// find_cuda's device; a promise that there is one.
CudaDevice& cuda();

/// Increased whenever this header changes.
inline constexpr int kCudaInterface = 6;

}  // namespace ditq
