#pragma once
// Whoever wants to know what the layers of a network are given, for calibration. Free when nobody listens.

#include <string>

#include "tensor/tensor.h"

namespace ditq {

/// Hears the network's tensors as ModelOpt's quantizers would see them. Called on the thread that runs the network; on a
/// GPU before the tensors' values are there, on the stream that makes them.
class LayerListener {
 public:
  virtual ~LayerListener() = default;
  /// The linear layer `module` reads x [..., K] next. Layers over one input are called one after the other with the same
  /// tensor object, whose values do not change in between.
  virtual void linear(const std::string& module, const Tensor& x) = 0;
  /// The layer norm `module` reads x next.
  virtual void norm(const std::string& module, const Tensor& x) = 0;
  /// x passes the quantizer `name` of an attention, such as "….attn.q_bmm_quantizer": queries and keys after their norm
  /// and rope. Nobody else holds x: it may be changed in place.
  virtual void attention(const std::string& name, const Tensor& x) = 0;
};

/// The one that listens on this thread, or nullptr.
LayerListener* layer_listener();

/// Lets a listener hear this thread's networks while it lives.
class ListenerSession {
 public:
  explicit ListenerSession(LayerListener& listener);
  ~ListenerSession();
  ListenerSession(const ListenerSession&) = delete;
  ListenerSession& operator=(const ListenerSession&) = delete;

 private:
  LayerListener* previous_;
};

/// Names of an attention's quantizers, as ModelOpt spells them.
struct AttentionQuantizers {
  std::string q, k, v, output;

  /// `module`: the attention's, such as "transformer_blocks.0.attn".
  explicit AttentionQuantizers(const std::string& module);
};

}  // namespace ditq
