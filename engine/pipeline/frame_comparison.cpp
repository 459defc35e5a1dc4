#include "pipeline/frame_comparison.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "pipeline/metrics.h"
#include "pipeline/ssim.h"

namespace ditq {

void FrameComparison::Sums::add(const Picture& reference, const Picture& candidate) {
  count += reference.pixels.size();
  for (std::size_t i = 0; i < reference.pixels.size(); ++i) {
    const std::uint64_t a = reference.pixels[i];
    const std::uint64_t b = candidate.pixels[i];
    const std::uint64_t distance = a > b ? a - b : b - a;
    a_a += a * a;
    b_b += b * b;
    a_b += a * b;
    difference += distance;
    squared += distance * distance;
    largest = std::max(largest, distance);
  }
}

FrameMetrics FrameComparison::Sums::metrics() const {
  const auto number = [](std::uint64_t sum) { return static_cast<double>(sum); };
  const double norms = std::sqrt(number(a_a)) * std::sqrt(number(b_b));
  FrameMetrics out;
  out.cosine_similarity = norms > 0 ? number(a_b) / norms : (a_a == b_b ? 1 : 0);
  out.mae = number(difference) / number(count);
  out.mse = number(squared) / number(count);
  out.rmse = std::sqrt(out.mse);
  out.max_abs = number(largest);
  out.l2 = std::sqrt(number(squared));
  out.psnr_db = psnr_db(out.mse);
  return out;
}

void FrameComparison::add(const Picture& reference, const Picture& candidate) {
  DITQ_ASSERT(reference.pixels.size() == candidate.pixels.size());
  sums_.add(reference, candidate);
  if (std::min(reference.width, reference.height) >= kSsimWindow) {
    out_.ssim.push_back(ssim(reference, candidate));
  }
  if (clip_) out_.clip.push_back(clip_(reference, candidate));
  references_.push_back(frame_tensor(reference));
  candidates_.push_back(frame_tensor(candidate));
  if (!stacking_ || static_cast<std::int64_t>(sums_.count) > max_stack_) drop_stack();
}

/// Measures the frames that are kept by themselves, and keeps none from here on.
void FrameComparison::drop_stack() {
  for (std::size_t i = 0; i < references_.size(); ++i) {
    out_.frames.push_back(frame_metrics(references_[i], candidates_[i]));
  }
  references_.clear();
  candidates_.clear();
  stacking_ = false;
}

OutputMetrics FrameComparison::finish() {
  if (stacking_) {
    OutputMetrics stack = output_metrics(references_, candidates_);
    out_.frames = std::move(stack.frames);
    out_.all_frames = stack.all_frames;
  } else {
    out_.all_frames = sums_.metrics();
  }
  return std::move(out_);
}

}  // namespace ditq
