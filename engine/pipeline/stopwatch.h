#pragma once
// Measures the stages and steps of one generation.

#include <chrono>
#include <string>

#include "pipeline/pipeline.h"

namespace ditq {

class Stopwatch {
 public:
  explicit Stopwatch(Timings& timings)
      : timings_(timings), start_(Clock::now()), stage_(start_), step_(start_) {}
  ~Stopwatch() { timings_.total = milliseconds(start_, Clock::now()); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  /// Ends the current stage under this name.
  void stage(const std::string& name) {
    const Clock::time_point now = Clock::now();
    timings_.stages.push_back({name, milliseconds(stage_, now)});
    stage_ = now;
    step_ = now;
  }

  /// Ends a denoising step.
  void step() {
    const Clock::time_point now = Clock::now();
    timings_.denoise_steps.push_back(milliseconds(step_, now));
    step_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double milliseconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
  }

  Timings& timings_;
  Clock::time_point start_;
  Clock::time_point stage_;
  Clock::time_point step_;
};

}  // namespace ditq
