#pragma once
// A layer against its base: how far it is, and whether another reading of its bytes comes closer.

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "doctor/layer.h"

namespace ditq {

/// Sums over runs of 16 columns of sampled rows, from which distances follow for any scale a: |w - a q|² = ww - 2 a
/// wq + a² qq, with w the base and q the layer.
struct BlockSums {
  float ww = 0;
  float wq = 0;
  float qq = 0;
};

/// Distances of one reading.
struct Distance {
  double error = 0;  ///< relative L2: |w - a q| / |w|
  double score =
      0;  ///< mean over blocks of |w - a q|² / |w|², each at most 4: every block counts alike
};

/// The sums of sampled rows of a reading.
class SampledSums {
 public:
  explicit SampledSums(std::vector<BlockSums> blocks);

  /// Distance with the layer multiplied by a.
  Distance at(double a) const;
  /// The a that brings the layer closest, each block counting alike; 1 where nothing can be said.
  double best_scale() const { return best_scale_; }
  /// Whether this reading, scaled by its best a, is closer than another of the same rows: by a twentieth in score,
  /// and by four standard errors of the blocks' differences.
  bool is_closer_than(const SampledSums& other) const;

 private:
  double block_score(const BlockSums& block, double a) const;

  std::vector<BlockSums> blocks_;
  double best_scale_ = 1.0;
};

/// What a comparison found.
struct Comparison {
  double error = 0;    ///< relative L2 over all rows, as stored
  Distance as_stored;  ///< sampled rows of the stored weight from what it should hold, as loaded
  Arrangement arrangement;  ///< the reading that comes closest; the loaded one where none is closer
  Distance arranged;        ///< that reading
  double scale = 1.0;       ///< the factor that the scale should have in addition, in that reading
  Distance scaled;          ///< that reading with this factor
};

/// Compares a layer with its base. Shapes: the same rows and columns.
Comparison compare_with_base(const LayerData& layer, const LayerData& base);

}  // namespace ditq
