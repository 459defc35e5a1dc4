#include "base/interrupt.h"

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace ditq {
namespace {

std::atomic<int> pending{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  pending.store(signal);
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void check_interrupt() {
  if (pending.load(std::memory_order_relaxed) != 0) {
    throw Error(ErrorCode::interrupted, "interrupted");
  }
}

}  // namespace ditq
