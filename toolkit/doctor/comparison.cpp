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
constexpr std::size_t kSampledElements = 1 << 18;
constexpr std::size_t kLeastRows = 32;
constexpr std::size_t kMostRows = 192;
// An error beyond twice the weight itself says no more than "wrong".
constexpr double kWorstBlock = 4.0;

std::vector<std::size_t> sampled_rows(std::size_t rows, std::size_t columns) {
  const std::size_t wanted =
      std::clamp(kSampledElements / std::max<std::size_t>(columns, 1), kLeastRows, kMostRows);
  const std::size_t count = std::min(rows, wanted);
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

/// Rows that all readings are compared with: what the layer should hold, by the base.
class Sample {
 public:
  Sample(const LayerData& layer, const LayerData& base)
      : columns_(base.layer().columns),
        rows_(sampled_rows(base.layer().rows, base.layer().columns)) {
    values_.resize(rows_.size() * columns_);
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      base.row(rows_[i], row(i));
      layer.to_stored(rows_[i], row(i));
    }
  }

  SampledSums of(const LayerData& layer, const Arrangement& arrangement) const {
    const std::vector<std::uint8_t> scales = layer.arranged_scales(arrangement);
    std::vector<float> q(columns_);
    std::vector<BlockSums> blocks;
    blocks.reserve(rows_.size() * (columns_ / kBlock + 1));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      layer.stored_row(rows_[i], scales, arrangement, q);
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

/// Orders of block scales, the likely one before the one that needs two mistakes: for some shapes they are the same.
std::vector<ScaleOrder> scale_orders(const Layer& layer) {
  const std::size_t blocks = layer.columns / kBlock;
  if (swizzled_scales_size(layer.rows, blocks) != layer.rows * blocks) {
    return {ScaleOrder::as_loaded};
  }
  if (layer.unswizzled) {
    return {ScaleOrder::as_loaded, ScaleOrder::swizzled, ScaleOrder::unswizzled};
  }
  return {ScaleOrder::as_loaded, ScaleOrder::unswizzled, ScaleOrder::swizzled};
}

/// Every reading that the bytes allow besides the loaded one, simple ones first.
std::vector<Arrangement> arrangements(const Layer& layer) {
  const bool halves = layer.rows >= 2 && layer.rows % 2 == 0;
  std::vector<Arrangement> out;
  if (layer.encoding != Encoding::nvfp4) {
    if (halves) out.push_back({.swap_code_halves = true});
    return out;
  }
  for (const ScaleOrder order : scale_orders(layer)) {
    for (unsigned bits = 0; bits < 8; ++bits) {
      const Arrangement next{.swap_nibbles = (bits & 1U) != 0,
                             .scale_order = order,
                             .swap_code_halves = (bits & 2U) != 0,
                             .swap_scale_halves = (bits & 4U) != 0};
      if (next == Arrangement() || (bits > 1 && !halves)) continue;
      out.push_back(next);
    }
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
  const Sample sample(layer, base);
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
