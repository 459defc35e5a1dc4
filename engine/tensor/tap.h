#pragma once
// Taps: named intermediates that somebody may look at. Free when nobody listens.

#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace ditq {

using TapListener = std::function<void(const std::string& path, const Tensor& value)>;

/// Hears every tap of this thread while it lives; the one before it is silent meanwhile.
class TapSession {
 public:
  explicit TapSession(TapListener listener);
  ~TapSession();
  TapSession(const TapSession&) = delete;
  TapSession& operator=(const TapSession&) = delete;

 private:
  TapListener previous_;
};

/// Puts a module's name in front of the taps inside: "transformer_blocks.0" + "attn.0".
class TapScope {
 public:
  explicit TapScope(const std::string& name);
  TapScope(const std::string& name, std::size_t index);
  ~TapScope();
  TapScope(const TapScope&) = delete;
  TapScope& operator=(const TapScope&) = delete;

 private:
  std::size_t length_ = 0;
  bool active_ = false;
};

/// Whether anybody listens; guards work that is done for a tap only.
bool tap_active();

/// Hands `value` to the listener under the current path.
void tap(const char* name, const Tensor& value);

}  // namespace ditq
