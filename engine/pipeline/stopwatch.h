#pragma once
// Measures the stages and steps of one generation.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda_device.h"
#include "pipeline/pipeline.h"

namespace ditq {

class Stopwatch {
 public:
  /// On a GPU stages end when the device is done, and steps are timed by the device: the host does not wait for them.
  Stopwatch(Timings& timings, const at::Device& device)
      : timings_(timings),
        cuda_(device.is_cuda() ? &cuda() : nullptr),
        start_(Clock::now()),
        stage_(start_),
        step_(start_) {}
  ~Stopwatch() { timings_.total = milliseconds(start_, Clock::now()); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  /// Ends the current stage under this name.
  void stage(const std::string& name) {
    if (cuda_ != nullptr) {
      cuda_->synchronize();
      read_steps();
      // Where the first step of what follows begins.
      points_.push_back(cuda_->record());
    }
    const Clock::time_point now = Clock::now();
    timings_.stages.push_back({name, milliseconds(stage_, now)});
    stage_ = now;
    step_ = now;
  }

  /// Ends a denoising step.
  void step() {
    if (cuda_ != nullptr) {
      points_.push_back(cuda_->record());
      // Two steps ahead of the device keep it busy; further ahead the progress would tell nothing.
      constexpr std::size_t kAhead = 2;
      if (points_.size() > kAhead) points_[points_.size() - 1 - kAhead]->wait();
      return;
    }
    const Clock::time_point now = Clock::now();
    timings_.denoise_steps.push_back(milliseconds(step_, now));
    step_ = now;
  }

 private:
  void read_steps() {
    for (std::size_t i = 1; i < points_.size(); ++i) {
      timings_.denoise_steps.push_back(points_[i]->milliseconds_since(*points_[i - 1]));
    }
    points_.clear();
  }

  using Clock = std::chrono::steady_clock;
  static double milliseconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
  }

  Timings& timings_;
  CudaDevice* cuda_;
  std::vector<std::unique_ptr<CudaEvent>> points_;
  Clock::time_point start_;
  Clock::time_point stage_;
  Clock::time_point step_;
};

}  // namespace ditq
