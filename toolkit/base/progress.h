#pragma once
// One progress bar with rate and time left on stderr; silent when it is no terminal or the user said so.

#include <chrono>
#include <cstdint>
#include <string>

namespace ditq {

/// Shows "label  42% |████      | 21/50 [00:03<00:04, 6.5 step/s]" and redraws at most ten times a second.
class ProgressBar {
 public:
  /// What one count is: "step", or "B" for bytes (then amounts print as MB and GB).
  ProgressBar(std::string label, std::uint64_t total, std::string unit);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void advance(std::uint64_t count = 1);
  /// Draws the last state and ends the line.
  void finish();

  /// Erases an unfinished bar before a message is printed; the next advance() draws it again.
  static void clear_line();

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  std::string label_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::string unit_;
  Clock::time_point start_;
  Clock::time_point drawn_;
  bool visible_;
};

}  // namespace ditq
