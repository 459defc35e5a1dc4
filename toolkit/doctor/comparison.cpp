#include "doctor/comparison.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr std::size_t kBlock = kNvfp4Block;
// Enough blocks to tell any two readings apart, few enough for two dozen readings of a large layer.
constexpr std::size_t kSampledRows = 192;
// An error beyond twice the weight itself says no more than "wrong".
constexpr double kWorstBlock = 4.0;

std::vector<std::size_t> sampled_rows(std::size_t rows) {
  const std::size_t count = std::min(rows, kSampledRows);
  std::vector<std::size_t> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = i * rows / count;
  return out;
}

void add_row(std::span<const float> w, std::span<const float> q, std::vector<BlockSums>& blocks) {
  for (std::size_t begin = 0; begin < w.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, w.size());
    BlockSums sums;
    for (std::size_t i = begin; i < end; ++i) {
      sums.ww += w[i] * w[i];
      sums.wq += w[i] * q[i];
      sums.qq += q[i] * q[i];
    }
    blocks.push_back(sums);
  }
}

/// Rows of the base that all readings are compared with.
class Sample {
 public:
  explicit Sample(const LayerData& base)
      : columns_(base.layer().columns), rows_(sampled_rows(base.layer().rows)) {
    values_.resize(rows_.size() * columns_);
    for (std::size_t i = 0; i < rows_.size(); ++i) base.row(rows_[i], row(i));
  }

  SampledSums of(const LayerData& layer, const Arrangement& arrangement) const {
    const std::vector<std::uint8_t> scales = layer.arranged_scales(arrangement);
    std::vector<float> q(columns_);
    std::vector<BlockSums> blocks;
    blocks.reserve(rows_.size() * (columns_ / kBlock + 1));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      layer.row(rows_[i], scales, arrangement, q);
      add_row({values_.data() + i * columns_, columns_}, q, blocks);
    }
    return SampledSums(std::move(blocks));
  }

 private:
  std::span<float> row(std::size_t i) { return {values_.data() + i * columns_, columns_}; }

  std::size_t columns_;
  std::vector<std::size_t> rows_;
  std::vector<float> values_;
};

/// Relative L2 distance over all rows.
double full_error(const LayerData& layer, const LayerData& base) {
  const std::size_t columns = base.layer().columns;
  std::vector<float> w(columns);
  std::vector<float> q(columns);
  double distance = 0;
  double norm = 0;
  for (std::size_t row = 0; row < base.layer().rows; ++row) {
    base.row(row, w);
    layer.row(row, q);
    float row_distance = 0;
    float row_norm = 0;
    for (std::size_t i = 0; i < columns; ++i) {
      row_distance += (w[i] - q[i]) * (w[i] - q[i]);
      row_norm += w[i] * w[i];
    }
    distance += row_distance;
    norm += row_norm;
  }
  if (norm == 0.0) return distance == 0.0 ? 0.0 : INFINITY;
  return std::sqrt(distance / norm);
}

/// Every reading that the bytes allow besides the loaded one, simple ones first.
std::vector<Arrangement> arrangements(const Layer& layer) {
  const bool halves = layer.rows >= 2 && layer.rows % 2 == 0;
  std::vector<Arrangement> out;
  if (layer.encoding != Encoding::nvfp4) {
    if (halves) out.push_back({.swap_code_halves = true});
    return out;
  }
  const std::size_t blocks = layer.columns / kBlock;
  const bool unpadded = swizzled_scales_size(layer.rows, blocks) == layer.rows * blocks;
  for (int bits = 1; bits < 24; ++bits) {
    const auto order = static_cast<ScaleOrder>(bits / 8);
    const Arrangement next{.swap_nibbles = (bits & 1) != 0,
                           .scale_order = order,
                           .swap_code_halves = (bits & 2) != 0,
                           .swap_scale_halves = (bits & 4) != 0};
    const bool uses_halves = next.swap_code_halves || next.swap_scale_halves;
    if ((uses_halves && !halves) || (order != ScaleOrder::as_loaded && !unpadded)) continue;
    out.push_back(next);
  }
  const auto changes = [](const Arrangement& a) {
    return static_cast<int>(a.swap_nibbles) + static_cast<int>(a.swap_code_halves) +
           static_cast<int>(a.swap_scale_halves) +
           static_cast<int>(a.scale_order != ScaleOrder::as_loaded);
  };
  std::stable_sort(out.begin(), out.end(), [&](const Arrangement& a, const Arrangement& b) {
    return changes(a) < changes(b);
  });
  return out;
}

}  // namespace

SampledSums::SampledSums(std::vector<BlockSums> blocks) : blocks_(std::move(blocks)) {
  double wq = 0;
  double qq = 0;
  for (const BlockSums& block : blocks_) {
    if (!(block.ww > 0.0f)) continue;
    wq += block.wq / block.ww;
    qq += block.qq / block.ww;
  }
  if (qq > 0 && std::isfinite(wq / qq)) best_scale_ = wq / qq;
}

double SampledSums::block_score(const BlockSums& block, double a) const {
  const double distance = block.ww - 2 * a * block.wq + a * a * block.qq;
  return std::clamp(distance / block.ww, 0.0, kWorstBlock);
}

Distance SampledSums::at(double a) const {
  double distance = 0;
  double norm = 0;
  double scores = 0;
  std::size_t count = 0;
  for (const BlockSums& block : blocks_) {
    distance += std::max(0.0, block.ww - 2 * a * block.wq + a * a * block.qq);
    norm += block.ww;
    if (!(block.ww > 0.0f)) continue;
    scores += block_score(block, a);
    ++count;
  }
  Distance out;
  out.error = norm > 0 ? std::sqrt(distance / norm) : distance > 0 ? INFINITY : 0.0;
  out.score = count > 0 ? scores / static_cast<double>(count) : 0.0;
  return out;
}

bool SampledSums::is_closer_than(const SampledSums& other) const {
  double sum = 0;
  double squares = 0;
  double mine = 0;
  double theirs = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (!(blocks_[i].ww > 0.0f)) continue;
    const double own = block_score(blocks_[i], best_scale_);
    const double others = other.block_score(other.blocks_[i], other.best_scale_);
    mine += own;
    theirs += others;
    sum += others - own;
    squares += (others - own) * (others - own);
  }
  constexpr double kCloser = 0.95;
  constexpr double kStandardErrors = 4.0;
  return mine < kCloser * theirs && sum > kStandardErrors * std::sqrt(squares);
}

Comparison compare_with_base(const LayerData& layer, const LayerData& base) {
  const Sample sample(base);
  Comparison out;
  out.error = full_error(layer, base);
  SampledSums best = sample.of(layer, {});
  out.as_stored = best.at(1.0);
  for (const Arrangement& arrangement : arrangements(layer.layer())) {
    SampledSums sums = sample.of(layer, arrangement);
    if (!sums.is_closer_than(best)) continue;
    best = std::move(sums);
    out.arrangement = arrangement;
  }
  out.arranged = best.at(1.0);
  out.scale = best.best_scale();
  out.scaled = best.at(out.scale);
  return out;
}

}  // namespace ditq
