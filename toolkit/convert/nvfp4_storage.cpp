#include "convert/nvfp4_storage.h"

#include <optional>

#include <fmt/format.h>

#include "base/error.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

std::string habit_of(const DialectMark* mark, bool packed) {
  if (!packed) return "ModelOpt's order, since nothing says otherwise";
  const bool by_names = mark != nullptr && mark->packed_nvfp4;
  return by_names ? fmt::format("the order of files with {} names", mark->dialect)
                  : std::string("the order of files with ComfyUI's layer markers");
}

/// What a layer's shapes allow.
struct ScaleShapes {
  Shape linear;            ///< of block scales row by row
  std::size_t padded = 0;  ///< bytes in the 128x4 order
  bool fits_linear = false;
  bool fits_swizzled = false;

  explicit ScaleShapes(const StoredModule& module) {
    const Shape& weight = module.find("weight")->shape;
    const TensorInfo& scales = *module.find("weight_scale");
    linear = {weight[0], weight[1] / static_cast<std::int64_t>(kNvfp4Block / 2)};
    padded = swizzled_scales_size(static_cast<std::size_t>(linear[0]),
                                  static_cast<std::size_t>(linear[1]));
    fits_linear = scales.shape == linear;
    fits_swizzled = scales.elements() == padded;
  }

  /// The only order that they allow; nothing where padding is not needed, or neither fits.
  std::optional<ScaleLayout> only() const {
    if (padded == static_cast<std::size_t>(linear[0] * linear[1])) return std::nullopt;
    if (fits_linear) return ScaleLayout::linear;
    return fits_swizzled ? std::optional(ScaleLayout::swizzled) : std::nullopt;
  }
};

}  // namespace

Nvfp4Storage nvfp4_storage(const QuantConfig& quant,
                           const DialectMark* mark,
                           bool comfy,
                           std::vector<std::string>& reasons) {
  const Nvfp4Declaration& declared = quant.nvfp4;
  const bool packed = comfy || declared.packed_qkv.value_or(mark != nullptr && mark->packed_nvfp4);
  const ScaleLayout habit = packed ? ScaleLayout::swizzled : ScaleLayout::linear;
  const Nvfp4Storage storage{.high_nibble_first = declared.swap_weight_nibbles.value_or(packed),
                             .scales = declared.scale_layout.value_or(habit),
                             .scales_declared = declared.scale_layout.has_value()};
  reasons.push_back(fmt::format(
      "nibbles: the {} one holds the even column{}: {}", storage.high_nibble_first ? "high" : "low",
      storage.high_nibble_first ? ", exchanged at load" : "",
      declared.swap_weight_nibbles
          ? fmt::format("swap_weight_nibbles is {} in {}", storage.high_nibble_first, quant.source)
          : habit_of(mark, packed)));
  reasons.push_back(fmt::format(
      "block scales: {}: {}",
      storage.scales == ScaleLayout::swizzled ? "128x4 order, undone at load" : "row by row",
      storage.scales_declared ? "checkpoint_weight_scale_layout in " + quant.source
                              : habit_of(mark, packed)));
  return storage;
}

void follow_shapes(const std::map<std::string, StoredModule>& modules,
                   Nvfp4Storage& storage,
                   std::vector<std::string>& reasons) {
  if (storage.scales_declared) return;
  std::size_t for_habit = 0;
  std::size_t against = 0;
  for (const auto& [name, module] : modules) {
    if (!module.nvfp4) continue;
    const std::optional<ScaleLayout> only = ScaleShapes(module).only();
    if (only) ++(*only == storage.scales ? for_habit : against);
  }
  if (against == 0) return;
  const bool all = for_habit == 0;
  if (all) {
    storage.scales =
        storage.scales == ScaleLayout::linear ? ScaleLayout::swizzled : ScaleLayout::linear;
  }
  const bool swizzled = (storage.scales == ScaleLayout::swizzled) == all;
  reasons.push_back(fmt::format("block scales of {} layers are {} by their shape{}", against,
                                swizzled ? "in the 128x4 order" : "row by row",
                                all ? ", so all are" : ""));
}

ScaleLayout scale_layout_of(const StoredModule& module, const Nvfp4Storage& storage) {
  const ScaleShapes shapes(module);
  const bool wants_linear = storage.scales == ScaleLayout::linear;
  if (wants_linear ? shapes.fits_linear : shapes.fits_swizzled) return storage.scales;
  if (!storage.scales_declared && shapes.only()) return *shapes.only();
  const TensorInfo& scales = *module.find("weight_scale");
  throw Error(
      ErrorCode::wrong_shape, "block scales do not fit their weight",
      {.path = scales.file->path(),
       .tensor = scales.name,
       .expected = fmt::format("{} for packed bytes {}", to_string(shapes.linear),
                               to_string(module.find("weight")->shape)) +
                   (wants_linear ? std::string()
                                 : fmt::format(", or {} bytes in the 128x4 order", shapes.padded)),
       .found = to_string(scales.shape)});
}

}  // namespace ditq
