#pragma once
// What every direct use of the operating system needs.

#include <cerrno>

namespace ditq {

/// Repeats a call that returns -1 while a signal interrupts it. Handlers here only take note (base/interrupt.h); whether
/// to stop is decided between calls.
template <typename Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace ditq
