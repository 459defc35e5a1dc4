#include "nn/layer_listener.h"

#include <utility>

namespace ditq {
namespace {

thread_local LayerListener* current = nullptr;

}  // namespace

LayerListener* layer_listener() {
  return current;
}

ListenerSession::ListenerSession(LayerListener& listener)
    : previous_(std::exchange(current, &listener)) {}

ListenerSession::~ListenerSession() {
  current = previous_;
}

AttentionQuantizers::AttentionQuantizers(const std::string& module)
    : q(module + ".q_bmm_quantizer"),
      k(module + ".k_bmm_quantizer"),
      v(module + ".v_bmm_quantizer"),
      output(module + ".bmm2_output_quantizer") {}

}  // namespace ditq
