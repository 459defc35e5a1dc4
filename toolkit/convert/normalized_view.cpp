#include "convert/normalized_view.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "convert/nvfp4_storage.h"
#include "convert/stored_modules.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

/// How a tensor of the view is made from a stored one: rows of it, after what was done to it was undone.
struct Recipe {
  const TensorInfo* stored = nullptr;
  std::size_t row_bytes = 0;  ///< of the undone tensor
  std::size_t rows = 0;       ///< of the undone tensor, all parts
  std::size_t first = 0;      ///< row of this part
  std::size_t count = 0;      ///< rows of this part
  bool unswizzle = false;     ///< block scales in the 128x4 order
  bool swap_halves = false;   ///< the halves of all rows
  bool swap_nibbles = false;  ///< of every byte
  bool block_scales = false;  ///< codes that must be numbers
};

using OwnedBytes = std::shared_ptr<std::vector<std::byte>>;

std::span<std::uint8_t> as_codes(std::vector<std::byte>& bytes) {
  return {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

/// Bytes of a stored range, mapped or copied.
TensorBytes stored_range(const TensorInfo& stored,
                         std::size_t offset,
                         std::size_t size,
                         Access access) {
  if (access == Access::map) {
    return {.bytes = stored.bytes().subspan(offset, size), .owner = stored.file};
  }
  const OwnedBytes copy = std::make_shared<std::vector<std::byte>>(size);
  stored.file->read(stored.offset + offset, *copy);
  return {.bytes = *copy, .owner = copy};
}

/// The whole tensor with its scales in rows.
TensorBytes unswizzled(const Recipe& recipe, Access access) {
  const TensorBytes stored = stored_range(*recipe.stored, 0, recipe.stored->size, access);
  const std::vector<std::uint8_t> linear = unswizzle_scales(
      {reinterpret_cast<const std::uint8_t*>(stored.bytes.data()), stored.bytes.size()},
      recipe.rows, recipe.row_bytes);
  const OwnedBytes copy = std::make_shared<std::vector<std::byte>>(linear.size());
  std::memcpy(copy->data(), linear.data(), linear.size());
  return {.bytes = *copy, .owner = copy};
}

/// Rows of this part out of a whole whose halves are exchanged.
TensorBytes rows_of_swapped(const Recipe& recipe, const TensorBytes& whole) {
  const OwnedBytes copy = std::make_shared<std::vector<std::byte>>(recipe.count * recipe.row_bytes);
  for (std::size_t row = 0; row < recipe.count; ++row) {
    const std::size_t from = (recipe.first + row + recipe.rows / 2) % recipe.rows;
    std::memcpy(copy->data() + row * recipe.row_bytes, whole.bytes.data() + from * recipe.row_bytes,
                recipe.row_bytes);
  }
  return {.bytes = *copy, .owner = copy};
}

TensorBytes rows_of(const Recipe& recipe, Access access) {
  const std::size_t offset = recipe.first * recipe.row_bytes;
  const std::size_t size = recipe.count * recipe.row_bytes;
  if (recipe.swap_halves) {
    return rows_of_swapped(
        recipe, recipe.unswizzle ? unswizzled(recipe, access)
                                 : stored_range(*recipe.stored, 0, recipe.stored->size, access));
  }
  if (!recipe.unswizzle) return stored_range(*recipe.stored, offset, size, access);
  const TensorBytes whole = unswizzled(recipe, access);
  return {.bytes = whole.bytes.subspan(offset, size), .owner = whole.owner};
}

void check_block_scales(const Recipe& recipe, Bytes bytes) {
  const auto* const bad = std::find_if(bytes.data(), bytes.data() + bytes.size(),
                                       [](std::byte code) { return code >= std::byte{0x7f}; });
  if (bad == bytes.data() + bytes.size()) return;
  throw Error(ErrorCode::bad_scale, "a block scale is negative or no number",
              {.path = recipe.stored->file->path(),
               .tensor = recipe.stored->name,
               .expected = "E4M3 codes 0x00 to 0x7e",
               .found = fmt::format("{:#04x}", std::to_integer<unsigned>(*bad)),
               .advice = "Export again; an all-zero weight gives such scales and has to stay in "
                         "BF16"});
}

class NormalizedView : public TensorView {
 public:
  NormalizedView(std::shared_ptr<const Checkpoint> checkpoint, Access access)
      : checkpoint_(std::move(checkpoint)), access_(access) {}

  const std::string& path() const override { return checkpoint_->path(); }
  const std::map<std::string, ViewedTensor>& tensors() const override { return tensors_; }

  TensorBytes read(const std::string& name) const override {
    const auto found = recipes_.find(name);
    if (found == recipes_.end()) {
      throw Error(ErrorCode::missing_tensor, "the checkpoint lacks a tensor",
                  {.path = path(), .tensor = name});
    }
    const Recipe& recipe = found->second;
    TensorBytes out = rows_of(recipe, access_);
    if (recipe.block_scales) check_block_scales(recipe, out.bytes);
    if (!recipe.swap_nibbles) return out;
    const OwnedBytes swapped =
        std::make_shared<std::vector<std::byte>>(out.bytes.begin(), out.bytes.end());
    swap_nibbles(as_codes(*swapped));
    return {.bytes = *swapped, .owner = swapped};
  }
  void release_pages() const override { checkpoint_->release_pages(); }

  void add(const std::string& name, Dtype dtype, Shape shape, const Recipe& recipe) {
    const auto [place, is_new] = recipes_.emplace(name, recipe);
    if (!is_new) {
      throw Error(
          ErrorCode::duplicate_tensor, "a tensor is there twice under different names",
          {.path = path(),
           .tensor = name,
           .found = fmt::format("'{}' and '{}'", place->second.stored->name, recipe.stored->name)});
    }
    tensors_.emplace(
        name, ViewedTensor{.dtype = dtype, .shape = std::move(shape), .origin = recipe.stored});
  }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  Access access_;
  std::map<std::string, ViewedTensor> tensors_;
  std::map<std::string, Recipe> recipes_;
};

[[noreturn]] void fail_shape(const TensorInfo& tensor,
                             const std::string& sentence,
                             const std::string& expected) {
  throw Error(ErrorCode::wrong_shape, sentence,
              {.path = tensor.file->path(),
               .tensor = tensor.name,
               .expected = expected,
               .found = to_string(tensor.shape)});
}

/// Adds the tensors of one stored module to the view.
class ModulePlan {
 public:
  ModulePlan(const StoredModule& module, NormalizedView& view) : module_(module), view_(view) {
    for (const DialectPart& part : module_.parts) shares_ += static_cast<std::size_t>(part.rows);
    rows_ = static_cast<std::size_t>(module_.rows());
    const TensorInfo* weight = module_.find("weight");
    if (shares_ > 1 && weight != nullptr && rows_ % shares_ != 0) {
      fail_shape(*weight, "a fused weight cannot be taken apart",
                 fmt::format("rows a multiple of {}", shares_));
    }
    if (module_.swap_halves && weight != nullptr && rows_ % 2 != 0) {
      fail_shape(*weight, "a weight with exchanged halves has none", "an even number of rows");
    }
  }

  /// `layout`: of block scales, for packed modules.
  void add(ScaleLayout layout, bool high_nibble_first) {
    std::size_t share = 0;
    for (std::size_t i = 0; i < module_.parts.size(); ++i) {
      const auto rows = static_cast<std::size_t>(module_.parts[i].rows);
      first_ = shares_ > 1 ? rows_ / shares_ * share : 0;
      count_ = shares_ > 1 ? rows_ / shares_ * rows : rows_;
      share += rows;
      for (const auto& [parameter, tensor] : module_.tensors) {
        const TensorName name{module_.parts[i].module, parameter};
        if (module_.nvfp4 && parameter == "weight_scale") {
          add_block_scales(name.joined(), *tensor, layout);
        } else if (is_shared(parameter)) {
          add_whole(name.joined(), *tensor);
        } else if (parameter.ends_with("_scale") || parameter == "weight_scale_2") {
          add_scale(name.joined(), *tensor, i);
        } else {
          add_rows(name.joined(), *tensor,
                   module_.nvfp4 && high_nibble_first && parameter == "weight");
        }
      }
    }
  }

 private:
  bool is_plain() const { return module_.parts.size() == 1 && !module_.swap_halves; }

  /// What belongs to the input of a fused layer, which its parts share.
  static bool is_shared(const std::string& parameter) {
    return parameter == "pre_quant_scale" || parameter == "svdquant_lora_a";
  }

  void add_whole(const std::string& name, const TensorInfo& tensor) {
    view_.add(name, tensor.dtype, tensor.shape,
              {.stored = &tensor, .row_bytes = tensor.size, .rows = 1, .count = 1});
  }

  void add_rows(const std::string& name, const TensorInfo& tensor, bool swap_nibbles) {
    if (is_plain() && !swap_nibbles) return add_whole(name, tensor);
    if (tensor.shape.empty() || tensor.shape[0] != module_.rows() || rows_ == 0) {
      fail_shape(tensor, "a tensor does not fit the rows of its layer",
                 fmt::format("{} rows", rows_));
    }
    Shape shape = tensor.shape;
    shape[0] = static_cast<std::int64_t>(count_);
    view_.add(name, tensor.dtype, std::move(shape),
              {.stored = &tensor,
               .row_bytes = tensor.size / rows_,
               .rows = rows_,
               .first = first_,
               .count = count_,
               .swap_halves = module_.swap_halves,
               .swap_nibbles = swap_nibbles});
  }

  /// Scalars are shared, a vector has one value for each part or each row.
  void add_scale(const std::string& name, const TensorInfo& tensor, std::size_t part) {
    const std::uint64_t count = tensor.elements();
    if (count == 1 || is_plain()) return add_whole(name, tensor);
    if (count == rows_) return add_rows(name, tensor, /*swap_nibbles=*/false);
    if (count != module_.parts.size()) {
      fail_shape(tensor, "the scales of a fused layer do not fit its parts",
                 fmt::format("[], [1], [{}] or [{}]", module_.parts.size(), rows_));
    }
    view_.add(name, tensor.dtype, {1},
              {.stored = &tensor,
               .row_bytes = tensor.size / count,
               .rows = count,
               .first = part,
               .count = 1});
  }

  void add_block_scales(const std::string& name, const TensorInfo& tensor, ScaleLayout layout) {
    const auto columns =
        static_cast<std::size_t>(module_.find("weight")->shape[1]) / (kNvfp4Block / 2);
    view_.add(name, Dtype::f8_e4m3,
              {static_cast<std::int64_t>(count_), static_cast<std::int64_t>(columns)},
              {.stored = &tensor,
               .row_bytes = columns,
               .rows = rows_,
               .first = first_,
               .count = count_,
               .unswizzle = layout == ScaleLayout::swizzled,
               .swap_halves = module_.swap_halves,
               .block_scales = true});
  }

  const StoredModule& module_;
  NormalizedView& view_;
  std::size_t shares_ = 0;
  std::size_t rows_ = 0;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

bool is_packed(const StoredModule& module, Scheme scheme) {
  const TensorInfo* weight = module.find("weight");
  return weight != nullptr && weight->dtype == Dtype::u8 &&
         (scheme == Scheme::nvfp4 || module.find("weight_scale") != nullptr ||
          module.find("weight_scale_2") != nullptr);
}

/// What quantization adds to a layer.
bool is_companion(const std::string& parameter) {
  static const std::set<std::string> kCompanions = {"weight_scale",    "weight_scale_2",
                                                    "input_scale",     "pre_quant_scale",
                                                    "svdquant_lora_a", "svdquant_lora_b"};
  return kCompanions.contains(parameter);
}

void check_scales_have_weight(const StoredModule& module) {
  if (module.find("weight") != nullptr) return;
  for (const char* parameter : {"weight_scale", "weight_scale_2", "input_scale"}) {
    const TensorInfo* scale = module.find(parameter);
    if (scale == nullptr) continue;
    throw Error(
        ErrorCode::scale_without_weight, "a scale's weight is not there",
        {.path = scale->file->path(), .tensor = scale->name, .expected = module.name + ".weight"});
  }
}

void describe_names(const NormalizeInput& input,
                    const StoredModules& stored,
                    std::vector<std::string>& reasons) {
  const auto fused = static_cast<std::size_t>(
      std::count_if(stored.modules.begin(), stored.modules.end(),
                    [](const auto& entry) { return entry.second.parts.size() > 1; }));
  const auto swapped = std::find_if(stored.modules.begin(), stored.modules.end(),
                                    [](const auto& entry) { return entry.second.swap_halves; });
  if (input.mark != nullptr && (!input.mark->rules.empty() || !input.mark->prefix.empty()) &&
      input.mark->dialect != "diffusers") {
    reasons.push_back(fmt::format("names: {}, read as diffusers'", input.mark->dialect));
  }
  if (fused > 0) reasons.push_back(fmt::format("{} fused layers are taken apart at load", fused));
  if (swapped != stored.modules.end()) {
    reasons.push_back(
        fmt::format("'{}' has its halves the other way round than diffusers; exchanged at load",
                    swapped->first));
  }
  if (stored.foreign > 0) {
    reasons.push_back(fmt::format("{} tensors without the prefix '{}' belong to other networks",
                                  stored.foreign, input.mark->prefix));
  }
}

/// The ignore list, and the view's names of stored modules that it names.
std::vector<std::string> translated_ignore(const QuantConfig& quant,
                                           const DialectMark* mark,
                                           const StoredModules& stored) {
  std::vector<std::string> ignore = quant.ignore;
  if (mark == nullptr || ignore.empty()) return ignore;
  for (const auto& [name, module] : stored.modules) {
    const std::string bare = name.substr(std::min(mark->prefix.size(), name.size()));
    if (!quant.ignores(name) && !quant.ignores(bare)) continue;
    for (const DialectPart& part : module.parts) {
      if (!quant.ignores(part.module)) ignore.push_back(part.module);
    }
  }
  return ignore;
}

/// Calls action(module) for every module; those whose error somebody takes are gone afterwards.
template <typename Action>
void for_each_module(std::map<std::string, StoredModule>& modules,
                     const NormalizeInput& input,
                     const Action& action) {
  for (auto it = modules.begin(); it != modules.end();) {
    try {
      action(it->second);
      ++it;
    } catch (const Error& error) {
      if (!input.on_error) throw;
      input.on_error(it->first, error);
      it = modules.erase(it);
    }
  }
}

/// Where somebody takes errors, a packed layer stays readable without its float32 scales.
void check_nvfp4(StoredModule& module, const NormalizeInput& input) {
  check_nvfp4_blocks(module, input.comfy);
  for (const char* parameter : {"weight_scale_2", "input_scale"}) {
    try {
      check_nvfp4_scale(module, parameter);
    } catch (const Error& error) {
      if (!input.on_error) throw;
      input.on_error(module.name, error);
      module.tensors.erase(parameter);
    }
  }
}

}  // namespace

NormalizedTensors normalize(const NormalizeInput& input) {
  NormalizedTensors out;
  StoredModules stored = stored_modules(*input.checkpoint, DialectNames(input.mark));
  describe_names(input, stored, out.reasons);
  bool packed = false;
  for_each_module(stored.modules, input, [&](StoredModule& module) {
    check_scales_have_weight(module);
    module.nvfp4 = is_packed(module, input.quant.scheme);
    if (module.nvfp4) check_nvfp4(module, input);
    packed = packed || module.nvfp4;
  });
  Nvfp4Storage storage;
  ScaleLayout habit = storage.scales;
  if (packed) {
    storage = nvfp4_storage(input.quant, input.mark, input.comfy, out.reasons);
    habit = storage.scales;
    follow_shapes(stored.modules, storage, out.reasons);
  }
  const auto view = std::make_shared<NormalizedView>(input.checkpoint, input.access);
  for_each_module(stored.modules, input, [&](const StoredModule& module) {
    const ScaleLayout layout =
        module.nvfp4 ? scale_layout_of(module, storage) : ScaleLayout::linear;
    for (const DialectPart& part : module.parts) {
      if (layout == ScaleLayout::swizzled) out.unswizzled.insert(part.module);
      if (module.nvfp4 && layout != habit) out.undeclared.insert(part.module);
    }
    ModulePlan(module, *view).add(layout, storage.high_nibble_first);
  });

  out.ignore = translated_ignore(input.quant, input.mark, stored);
  out.view = view;
  return out;
}

TensorTable plain_table(const TensorView& view) {
  TensorTable table;
  for (const auto& [name, tensor] : view.tensors()) {
    const TensorName parts = split_tensor_name(name);
    if (is_companion(parts.parameter)) continue;
    TensorFacts facts{.dtype = tensor.dtype, .shape = tensor.shape};
    const bool packed = parts.parameter == "weight" && tensor.dtype == Dtype::u8 &&
                        view.find(parts.module + ".weight_scale") != nullptr;
    if (packed) facts.shape.back() *= 2;
    table.emplace(name, std::move(facts));
  }
  return table;
}

}  // namespace ditq
