#pragma once
// A checkpoint's tensors, looked up by prefix. Networks are built from this and are immutable afterwards.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "format/tensor_view.h"
#include "quant/config.h"
#include "tensor/layer_switch.h"
#include "tensor/tensor.h"

namespace ditq {

/// What an NVFP4 layer multiplies its weights with.
enum class Nvfp4Activations {
  fp4,   ///< quantized as FP4 units need them (W4A4): what a Blackwell GPU computes
  bf16,  ///< as they are (W4A16)
};

/// How the tensors are taken from the file.
struct WeightsOptions {
  at::ScalarType dtype = at::kBFloat16;  ///< what plain tensors are converted to
  QuantConfig quant;                     ///< which layers the checkpoint declares quantized
  Nvfp4Activations nvfp4_activations = Nvfp4Activations::fp4;
  at::Device device = at::kCPU;                    ///< where networks keep and use them
  std::shared_ptr<LayerSwitch> layer_switch = {};  ///< gives linear layers a second weight each
};

/// How one layer was built, for summaries and perf.json.
struct LayerRecord {
  std::string module;
  std::string
      scheme;  ///< "bf16", "f32", "fp8", "nvfp4"; "+svdquant" behind it with a low-rank branch
  std::string arithmetic;   ///< "real" or "emulated: …"
  std::string activations;  ///< what they are quantized to, "fp8" or "fp4"; empty: they are not
  bool lacks_input_scale = false;  ///< NVFP4: nothing says how to quantize its activations
  std::size_t memory = 0;          ///< bytes of the prepared weight
};

/// A prefix view: `w / "attn" / "to_q"` looks up "attn.to_q.weight". Copies share the tensors and the record of what
/// was asked for.
class Weights {
 public:
  Weights(std::shared_ptr<const TensorView> tensors, WeightsOptions options);
  /// The checkpoint's tensors as they are.
  Weights(std::shared_ptr<const Checkpoint> checkpoint, WeightsOptions options);

  Weights operator/(std::string_view name) const;
  Weights operator/(std::size_t index) const;

  bool has(std::string_view name) const;
  /// The tensor in its stored dtype on the CPU, without a copy where the view has none. Errors: missing_tensor.
  Tensor raw(std::string_view name) const;
  /// The tensor in its stored dtype on the run's device. Errors: missing_tensor.
  Tensor stored(std::string_view name) const;
  /// The tensor in the run's dtype on its device (a copy where these differ). Errors: missing_tensor, wrong_shape.
  Tensor plain(std::string_view name, const Shape& shape) const;
  /// As plain, but an empty Tensor where the checkpoint has none.
  Tensor optional(std::string_view name, const Shape& shape) const;
  const ViewedTensor& info(std::string_view name) const;
  /// File and name of the stored tensor, to which an error adds what was expected and found.
  ErrorFacts where(std::string_view name) const;

  /// The full name of a tensor below this prefix.
  std::string full_name(std::string_view name) const;
  /// The prefix without its trailing dot: the module's name.
  std::string module() const;
  const std::string& path() const { return shared_->tensors->path(); }
  const TensorView& tensors() const { return *shared_->tensors; }
  at::ScalarType dtype() const { return shared_->options.dtype; }
  at::Device device() const { return shared_->options.device; }
  const QuantConfig& quant() const { return shared_->options.quant; }
  Nvfp4Activations nvfp4_activations() const { return shared_->options.nvfp4_activations; }

  /// What switches layers between these weights and others; null: nothing does.
  LayerSwitch* layer_switch() const { return shared_->options.layer_switch.get(); }
  /// The same prefix in the switch's checkpoint; nothing without a switch.
  std::optional<Weights> other() const;

  /// Notes how the layer below this prefix was built.
  void record(LayerRecord layer) const { shared_->layers.push_back(std::move(layer)); }
  /// All layers built from this checkpoint so far.
  const std::vector<LayerRecord>& layers() const { return shared_->layers; }

  /// Gives the mapped pages back: networks hold what they need in a layout of their own. Tensors over the mapping stay
  /// valid.
  void release_pages() const { shared_->tensors->release_pages(); }

  /// Names that nobody asked for, sorted.
  std::vector<std::string> unused() const;

 private:
  struct Shared {
    std::shared_ptr<const TensorView> tensors;
    WeightsOptions options;
    std::map<std::string, bool> used;
    std::vector<LayerRecord> layers;
    std::shared_ptr<Shared> other;  ///< the switch's checkpoint
  };
  Weights(std::shared_ptr<Shared> shared, std::string prefix);

  std::shared_ptr<Shared> shared_;
  std::string prefix_;
};

}  // namespace ditq
