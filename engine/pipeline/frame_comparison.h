#pragma once
// Compares two results frame by frame, in bounded memory.

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "media/picture.h"
#include "pipeline/measurements.h"
#include "tensor/tensor.h"

namespace ditq {

/// A figure of two pictures of one size, such as the cosine of CLIP's embeddings.
using PictureSimilarity = std::function<double(const Picture&, const Picture&)>;

/// Largest stack of frames, in 8-bit values, whose metrics are computed as SGLang computes them: on the whole stack in
/// f32, which takes twenty times these bytes. 45 frames of 640 x 384.
inline constexpr std::int64_t kMaxStack = std::int64_t{1} << 25;

/// Takes pairs of frames one after the other. Metrics of each are taken at once; the frames themselves are kept while all
/// of them make a stack of up to kMaxStack values. Of longer ones the metrics of the stack come from exact sums of
/// integers: they differ from SGLang's by the roundings of its f32 sums.
class FrameComparison {
 public:
  /// `clip`: what gives OutputMetrics::clip; may be empty.
  explicit FrameComparison(PictureSimilarity clip, std::int64_t max_stack = kMaxStack)
      : clip_(std::move(clip)), max_stack_(max_stack) {}

  /// The next pair; sizes are equal (checked by the caller), and those of the pairs before.
  void add(const Picture& reference, const Picture& candidate);
  /// Metrics of all pairs, at least one.
  OutputMetrics finish();

 private:
  /// Sums over all values of all frames: a the reference's, b the candidate's.
  struct Sums {
    std::uint64_t count = 0, a_a = 0, b_b = 0, a_b = 0, difference = 0, squared = 0, largest = 0;
    void add(const Picture& reference, const Picture& candidate);
    FrameMetrics metrics() const;
  };
  void drop_stack();

  PictureSimilarity clip_;
  std::int64_t max_stack_;
  Sums sums_;
  bool stacking_ = true;
  std::vector<Tensor> references_;  ///< u8 [H, W, 3], while stacking
  std::vector<Tensor> candidates_;
  OutputMetrics out_;
};

}  // namespace ditq
