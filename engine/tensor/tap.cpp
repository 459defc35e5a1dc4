#include "tensor/tap.h"

#include <utility>

namespace ditq {
namespace {

thread_local TapListener listener;
thread_local std::string path;

}  // namespace

TapSession::TapSession(TapListener next) : previous_(std::exchange(listener, std::move(next))) {}

TapSession::~TapSession() {
  listener = std::move(previous_);
}

TapScope::TapScope(const std::string& name) {
  if (!tap_active()) return;
  active_ = true;
  length_ = path.size();
  path += name + ".";
}

TapScope::TapScope(const std::string& name, std::size_t index) {
  if (!tap_active()) return;
  active_ = true;
  length_ = path.size();
  path += name + "." + std::to_string(index) + ".";
}

TapScope::~TapScope() {
  if (active_) path.resize(length_);
}

bool tap_active() {
  return static_cast<bool>(listener);
}

void tap(const char* name, const Tensor& value) {
  if (listener) listener(path + name, value);
}

}  // namespace ditq
