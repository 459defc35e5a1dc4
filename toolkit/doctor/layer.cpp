#include "doctor/layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "base/float.h"
#include "base/numbers.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

constexpr std::string_view kWeight = ".weight";

std::span<const std::uint8_t> as_codes(const TensorBytes& bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.bytes.data()), bytes.bytes.size()};
}

/// Elements of a little-endian array of floats as float32.
void to_floats(Dtype dtype, Bytes bytes, std::span<float> out) {
  const auto each_half = [&](auto convert) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::uint16_t half = 0;
      std::memcpy(&half, bytes.data() + 2 * i, sizeof(half));
      out[i] = convert(half);
    }
  };
  switch (dtype) {
    case Dtype::f32:
      std::memcpy(out.data(), bytes.data(), out.size_bytes());
      return;
    case Dtype::bf16:
      return each_half([](std::uint16_t half) { return bf16_to_float(half); });
    case Dtype::f16:
      return each_half([](std::uint16_t half) { return f16_to_float(half); });
    default:
      for (std::size_t i = 0; i < out.size(); ++i) {
        double value = 0;
        std::memcpy(&value, bytes.data() + 8 * i, sizeof(value));
        out[i] = static_cast<float>(value);
      }
  }
}

bool is_plain_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32 || dtype == Dtype::f64;
}

void require_float(const TensorView& view, const std::string& tensor) {
  const ViewedTensor& found = view.at(tensor);
  if (is_plain_float(found.dtype)) return;
  throw Error(ErrorCode::wrong_dtype, "a tensor has another dtype than its role prescribes",
              {.path = found.origin->file->path(),
               .tensor = tensor,
               .expected = "BF16, F16 or F32",
               .found = std::string(name(found.dtype))});
}

std::size_t with_halves_swapped(std::size_t row, std::size_t rows, bool swap) {
  return swap ? (row + rows / 2) % rows : row;
}

}  // namespace

std::string Layer::stored() const {
  const std::string form =
      encoding == Encoding::nvfp4 ? std::string("NVFP4") : std::string(ditq::name(dtype));
  return smoothed ? form + " + SVDQuant" : form;
}

std::optional<Layer> find_layer(const TensorView& view, const std::string& name) {
  const ViewedTensor* weight = view.find(name + std::string(kWeight));
  if (weight == nullptr || weight->shape.empty() || element_count(weight->shape) == 0U) {
    return std::nullopt;
  }
  Layer layer{.name = name, .dtype = weight->dtype};
  layer.rows = static_cast<std::size_t>(weight->shape[0]);
  layer.columns = static_cast<std::size_t>(std::accumulate(
      weight->shape.begin() + 1, weight->shape.end(), std::int64_t{1}, std::multiplies<>()));
  if (weight->dtype == Dtype::u8 && view.find(name + ".weight_scale") != nullptr) {
    layer.encoding = Encoding::nvfp4;
    layer.columns *= 2;
  } else if (weight->dtype == Dtype::f8_e4m3) {
    layer.encoding = Encoding::fp8;
  }
  layer.smoothed = view.find(name + ".pre_quant_scale") != nullptr ||
                   view.find(name + ".svdquant_lora_a") != nullptr;
  return layer;
}

std::vector<Layer> layers_of(const TensorView& view) {
  std::vector<Layer> layers;
  for (const auto& [tensor, facts] : view.tensors()) {
    if (!tensor.ends_with(kWeight)) continue;
    const auto layer = find_layer(view, tensor.substr(0, tensor.size() - kWeight.size()));
    if (layer) layers.push_back(*layer);
  }
  return layers;
}

std::vector<float> plain_values(const TensorView& view, const std::string& tensor) {
  require_float(view, tensor);
  const TensorBytes bytes = view.read(tensor);
  const Dtype dtype = view.at(tensor).dtype;
  std::vector<float> values(bytes.bytes.size() / (bits(dtype) / 8));
  to_floats(dtype, bytes.bytes, values);
  return values;
}

LayerData::LayerData(const TensorView& view, const Layer& layer) : layer_(layer) {
  const std::string tensor = layer.name + std::string(kWeight);
  if (layer.encoding == Encoding::plain) require_float(view, tensor);
  weight_ = view.read(tensor);
  if (layer.encoding == Encoding::fp8) read_fp8_scales(view);
  if (layer.encoding == Encoding::nvfp4) {
    block_scales_ = view.read(layer.name + ".weight_scale");
    const std::string scale = layer.name + ".weight_scale_2";
    if (view.find(scale) != nullptr) scale_ = plain_values(view, scale).at(0);
  }
  if (layer.smoothed) read_svdquant(view);
}

void LayerData::read_fp8_scales(const TensorView& view) {
  const std::string tensor = layer_.name + ".weight_scale";
  if (view.find(tensor) == nullptr) {
    throw Error(ErrorCode::weight_without_scale, "an FP8 weight has no scale",
                {.path = view.path(), .tensor = layer_.name + ".weight", .expected = tensor});
  }
  std::vector<float> scales = plain_values(view, tensor);
  if (scales.size() != 1 && scales.size() != layer_.rows) {
    throw Error(ErrorCode::wrong_shape, "FP8 scales do not fit their weight",
                {.path = view.path(),
                 .tensor = tensor,
                 .expected = fmt::format("1 or {} values", layer_.rows),
                 .found = std::to_string(scales.size())});
  }
  for (const float scale : scales) {
    if (std::isfinite(scale) && scale > 0.0f) continue;
    throw Error(ErrorCode::bad_scale, "an FP8 scale cannot be right",
                {.path = view.path(),
                 .tensor = tensor,
                 .expected = "a finite number above zero",
                 .found = fmt::format("{}", scale)});
  }
  if (scales.size() == 1) {
    scale_ = scales.front();
  } else {
    row_scales_ = std::move(scales);
  }
}

void LayerData::read_svdquant(const TensorView& view) {
  const auto read = [&](const char* parameter, std::size_t multiple) {
    const std::string tensor = layer_.name + parameter;
    if (view.find(tensor) == nullptr) return std::vector<float>();
    std::vector<float> values = plain_values(view, tensor);
    if (!values.empty() && values.size() % multiple == 0) return values;
    throw Error(ErrorCode::wrong_shape, "SVDQuant's tensor does not fit its layer",
                {.path = view.path(),
                 .tensor = tensor,
                 .expected = fmt::format("a multiple of {} values", multiple),
                 .found = std::to_string(values.size())});
  };
  smoothing_ = read(".pre_quant_scale", layer_.columns);
  lora_a_ = read(".svdquant_lora_a", layer_.columns);
  lora_b_ = read(".svdquant_lora_b", layer_.rows);
  if (lora_a_.size() / layer_.columns == lora_b_.size() / layer_.rows &&
      (smoothing_.empty() || smoothing_.size() == layer_.columns)) {
    return;
  }
  throw Error(ErrorCode::wrong_shape, "SVDQuant's tensors do not fit each other",
              {.path = view.path(),
               .tensor = layer_.name + ".svdquant_lora_b",
               .expected = fmt::format("rank {}", lora_a_.size() / layer_.columns),
               .found = fmt::format("rank {}", lora_b_.size() / layer_.rows)});
}

std::span<const std::uint8_t> LayerData::codes() const {
  return layer_.encoding == Encoding::plain ? std::span<const std::uint8_t>() : as_codes(weight_);
}

bool LayerData::equals(const LayerData& other) const {
  return layer_.encoding == Encoding::plain && other.layer_.encoding == Encoding::plain &&
         layer_.dtype == other.layer_.dtype &&
         std::equal(weight_.bytes.begin(), weight_.bytes.end(), other.weight_.bytes.begin(),
                    other.weight_.bytes.end());
}

std::span<const std::uint8_t> LayerData::block_scales() const {
  return as_codes(block_scales_);
}

std::vector<std::uint8_t> LayerData::arranged_scales(const Arrangement& arrangement) const {
  const std::span<const std::uint8_t> loaded = block_scales();
  const std::size_t columns = layer_.columns / kNvfp4Block;
  std::vector<std::uint8_t> scales;
  switch (arrangement.scale_order) {
    case ScaleOrder::as_loaded:
      scales.assign(loaded.begin(), loaded.end());
      break;
    case ScaleOrder::unswizzled:
      scales = unswizzle_scales(loaded, layer_.rows, columns);
      break;
    case ScaleOrder::swizzled:
      scales = swizzle_scales(loaded, layer_.rows, columns);
      break;
  }
  if (arrangement.swap_scale_halves) {
    std::rotate(scales.begin(), scales.begin() + static_cast<std::ptrdiff_t>(scales.size() / 2),
                scales.end());
  }
  return scales;
}

void LayerData::stored_row(std::size_t index,
                           std::span<const std::uint8_t> scales,
                           const Arrangement& arrangement,
                           std::span<float> out) const {
  const std::size_t row = with_halves_swapped(index, layer_.rows, arrangement.swap_code_halves);
  const std::size_t row_bytes = weight_.bytes.size() / layer_.rows;
  if (layer_.encoding == Encoding::plain) {
    return to_floats(layer_.dtype, weight_.bytes.subspan(row * row_bytes, row_bytes), out);
  }
  const std::span<const std::uint8_t> codes = as_codes(weight_).subspan(row * row_bytes, row_bytes);
  if (layer_.encoding == Encoding::fp8) {
    return dequantize_e4m3(codes, row_scale(row), out);
  }
  const std::size_t blocks = layer_.columns / kNvfp4Block;
  dequantize_nvfp4(codes, scales.subspan(index * blocks, blocks), scale_, out);
  if (!arrangement.swap_nibbles) return;
  for (std::size_t i = 0; i + 1 < out.size(); i += 2) std::swap(out[i], out[i + 1]);
}

void LayerData::add_low_rank(std::size_t index, float sign, std::span<float> values) const {
  const std::size_t rank = lora_a_.size() / layer_.columns;
  for (std::size_t r = 0; r < rank; ++r) {
    const float b = sign * lora_b_[index * rank + r];
    const float* a = lora_a_.data() + r * layer_.columns;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += b * a[i];
  }
}

void LayerData::row(std::size_t index, std::span<float> out) const {
  stored_row(index, block_scales(), Arrangement(), out);
  add_low_rank(index, 1.0f, out);
  for (std::size_t i = 0; i < smoothing_.size(); ++i) out[i] *= smoothing_[i];
}

void LayerData::to_stored(std::size_t index, std::span<float> values) const {
  for (std::size_t i = 0; i < smoothing_.size(); ++i) {
    values[i] = smoothing_[i] == 0.0f ? 0.0f : values[i] / smoothing_[i];
  }
  add_low_rank(index, -1.0f, values);
}

}  // namespace ditq
