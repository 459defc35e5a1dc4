#pragma once
// A network whose linear layers hold two weights each, the network's own and those of a second checkpoint, and change
// between them without loading anything: what a search over sets of quantized layers needs.

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "format/tensor_view.h"
#include "quant/config.h"

namespace ditq {

/// One layer that has both, and what its calls took.
struct SwitchedLayer {
  /// One of the two.
  struct Side {
    std::uint64_t bytes = 0;  ///< as stored: the weight and what its scheme adds
    std::uint64_t calls = 0;
    double least_ms = std::numeric_limits<double>::infinity();  ///< the fastest call; CPU only
  };
  bool quantized = false;
  Side plain, other;
};

/// Shared by a network's layers and by whoever switches them. Not for several threads at once.
class LayerSwitch {
 public:
  /// The second checkpoint: same family and sizes, in the diffusers dialect.
  LayerSwitch(std::shared_ptr<const TensorView> tensors, QuantConfig quant)
      : tensors_(std::move(tensors)), quant_(std::move(quant)) {}

  const std::shared_ptr<const TensorView>& tensors() const { return tensors_; }
  const QuantConfig& quant() const { return quant_; }

  /// The layer of a module, made at the first call. Its address stays.
  SwitchedLayer& layer(const std::string& module) { return layers_[module]; }
  /// All layers, by module.
  const std::map<std::string, SwitchedLayer>& layers() const { return layers_; }

  /// From now on all layers run quantized but these.
  void keep(const std::set<std::string>& modules) {
    for (auto& [module, layer] : layers_) layer.quantized = !modules.contains(module);
  }

 private:
  std::shared_ptr<const TensorView> tensors_;
  QuantConfig quant_;
  std::map<std::string, SwitchedLayer> layers_;
};

}  // namespace ditq
