#pragma once
// One layer of a view: what it consists of, and its weight as numbers, row by row.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/tensor_view.h"

namespace ditq {

/// How a weight is encoded.
enum class Encoding { plain, fp8, nvfp4 };

/// A module with a weight.
struct Layer {
  std::string name;
  Encoding encoding = Encoding::plain;
  Dtype dtype = Dtype::bf16;
  std::size_t rows = 0;     ///< first extent
  std::size_t columns = 0;  ///< product of the others, packed ones counted singly; 1 for a vector
  bool smoothed = false;    ///< SVDQuant's tensors stand beside it
  bool unswizzled = false;  ///< its block scales were stored in the 128x4 order, which was undone

  /// "NVFP4", or the dtype's name; with "+ SVDQuant".
  std::string stored() const;
};

/// All modules of a view that have a weight, sorted by name.
std::vector<Layer> layers_of(const TensorView& view);

/// The module of that name, if it has a weight that is not empty.
std::optional<Layer> find_layer(const TensorView& view, const std::string& name);

/// Where block scales are looked up.
enum class ScaleOrder {
  as_loaded,
  unswizzled,  ///< what was loaded is still in the 128x4 order
  swizzled,    ///< the 128x4 order was undone where it was not
};

/// Another reading of a weight's bytes than the loaded one.
struct Arrangement {
  bool swap_nibbles = false;
  ScaleOrder scale_order = ScaleOrder::as_loaded;
  bool swap_code_halves = false;   ///< the halves of the weight's rows
  bool swap_scale_halves = false;  ///< the halves of the block scales' rows

  bool operator==(const Arrangement&) const = default;
};

/// A layer's bytes. Large: hold one at a time.
class LayerData {
 public:
  /// Reads the weight and what belongs to it. Errors: as TensorView::read; bad_scale, wrong_dtype and wrong_shape for
  /// FP8 scales that cannot be.
  LayerData(const TensorView& view, const Layer& layer);

  const Layer& layer() const { return layer_; }
  /// E4M3 codes, or packed E2M1 codes; empty for plain weights.
  std::span<const std::uint8_t> codes() const;
  /// Linear block scales; empty unless NVFP4.
  std::span<const std::uint8_t> block_scales() const;
  /// Whether both are plain weights of one dtype and the same bytes.
  bool equals(const LayerData& other) const;
  /// Whether an FP8 weight has a scale for each row.
  bool has_row_scales() const { return !row_scales_.empty(); }
  /// The scale of a row of an FP8 weight.
  float row_scale(std::size_t index) const {
    return row_scales_.empty() ? scale_ : row_scales_[index];
  }
  /// weight_scale_2 of NVFP4, weight_scale of FP8 where it is one; 1 where there is none, as loaders fill it in.
  float scale() const { return scale_; }

  /// The weight that the layer computes with: dequantized, SVDQuant's parts included. out holds `columns` values.
  void row(std::size_t index, std::span<float> out) const;

  /// The block scales of an arrangement, to be passed to stored_row().
  std::vector<std::uint8_t> arranged_scales(const Arrangement& arrangement) const;
  /// What the stored weight alone holds, in another reading. `scales`: of that arrangement. Halves of plain and FP8
  /// weights follow swap_code_halves.
  void stored_row(std::size_t index,
                  std::span<const std::uint8_t> scales,
                  const Arrangement& arrangement,
                  std::span<float> out) const;
  /// What the stored weight should hold where the layer computes with these values: SVDQuant's low-rank part and
  /// smoothing taken off, in place.
  void to_stored(std::size_t index, std::span<float> values) const;

 private:
  void read_fp8_scales(const TensorView& view);
  void read_svdquant(const TensorView& view);
  void add_low_rank(std::size_t index, float sign, std::span<float> values) const;

  const Layer& layer_;
  TensorBytes weight_;
  TensorBytes block_scales_;
  float scale_ = 1.0f;
  std::vector<float> row_scales_;  // FP8 with one scale per row
  std::vector<float> smoothing_;   // pre_quant_scale [K]
  std::vector<float> lora_a_;      // [r, K]
  std::vector<float> lora_b_;      // [N, r]
};

/// Values of a plain tensor of dtype BF16, F16, F32 or F64. Errors: wrong_dtype.
std::vector<float> plain_values(const TensorView& view, const std::string& tensor);

}  // namespace ditq
