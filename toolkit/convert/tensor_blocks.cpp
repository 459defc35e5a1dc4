#include "convert/tensor_blocks.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include "base/error.h"
#include "quant/fp8.h"

namespace ditq {
namespace {

/// Copies `out.size()` bytes of `source` from `begin` on.
void copy_part(Bytes source, std::uint64_t begin, std::span<std::byte> out) {
  std::memcpy(out.data(), source.data() + begin, out.size());
}

std::uint64_t planned_size(const PlannedTensor& tensor) {
  if (tensor.recipe != nullptr) {
    return tensor.ingredient->size / tensor.recipe->unit_in() * tensor.recipe->unit_out();
  }
  if (!tensor.literal.empty()) return tensor.literal.size();
  if (tensor.copy_of != nullptr) return tensor.copy_of->size;
  return tensor.quantize != nullptr ? tensor.quantize->elements() : sizeof(tensor.scale);
}

[[noreturn]] void raise_nan(const TensorInfo& weight, float scale) {
  throw Error(ErrorCode::not_a_number,
              "a value exceeds its layer's amax so far that E4M3 has no number for it",
              {.path = weight.file->path(),
               .tensor = weight.name,
               .expected = fmt::format("magnitudes up to 464 times the scale {}, {}", scale,
                                       464.0f * scale),
               .found = "a larger one, or NaN",
               .advice = "The checkpoint's amax are not this weight's: use the checkpoint saved "
                         "with this export"});
}

}  // namespace

LaidOutShard lay_out(const PlannedShard& shard) {
  std::vector<TensorToWrite> targets;
  std::unordered_map<std::string, const PlannedTensor*> by_name;
  for (const PlannedTensor& tensor : shard.tensors) {
    targets.push_back(tensor.target);
    by_name.emplace(tensor.target.name, &tensor);
  }
  LaidOutShard out{.name = shard.name,
                   .layout = lay_out_safetensors(shard.name, std::move(targets), shard.metadata)};
  std::uint64_t end = out.layout.head.size();
  for (const TensorToWrite& target : out.layout.tensors) {
    out.tensors.push_back(by_name.at(target.name));
    DITQ_ASSERT(planned_size(*out.tensors.back()) == target.size);
    out.ends.push_back(end += target.size);
  }
  return out;
}

void BlockMaker::make(const LaidOutShard& shard, std::uint64_t offset, std::span<std::byte> out) {
  const std::uint64_t head = shard.layout.head.size();
  if (offset < head) {
    const auto count = std::min<std::size_t>(out.size(), static_cast<std::size_t>(head - offset));
    copy_part(std::as_bytes(std::span(shard.layout.head)), offset, out.first(count));
    offset += count;
    out = out.subspan(count);
  }
  const auto first = std::upper_bound(shard.ends.begin(), shard.ends.end(), offset);
  for (auto i = static_cast<std::size_t>(first - shard.ends.begin()); !out.empty(); ++i) {
    const std::uint64_t begin = shard.ends[i] - shard.layout.tensors[i].size;
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), shard.ends[i] - offset));
    if (count == 0) continue;  // an empty tensor
    make_tensor(*shard.tensors[i], offset - begin, out.first(count));
    offset += count;
    out = out.subspan(count);
  }
}

void BlockMaker::make_tensor(const PlannedTensor& tensor,
                             std::uint64_t begin,
                             std::span<std::byte> out) {
  if (tensor.recipe != nullptr) {
    follow_recipe(tensor, begin, out);
  } else if (!tensor.literal.empty()) {
    copy_part(tensor.literal, begin, out);
  } else if (tensor.is_scale) {
    copy_part(std::as_bytes(std::span(&tensor.scale, 1)), begin, out);
  } else if (tensor.quantize != nullptr) {
    quantize(*tensor.quantize, tensor.scale, begin, out);
  } else {
    copy(*tensor.copy_of, begin, out);
  }
}

void BlockMaker::copy(const TensorInfo& source, std::uint64_t begin, std::span<std::byte> out) {
  while (!out.empty()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), stage_));
    copy_part(source.file->read_large(source.offset + begin, count, buffer_), 0, out.first(count));
    begin += count;
    out = out.subspan(count);
  }
}

void BlockMaker::quantize(const TensorInfo& weight,
                          float scale,
                          std::uint64_t begin,
                          std::span<std::byte> out) {
  const std::uint64_t width = bits(weight.dtype) / 8;
  while (!out.empty()) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), stage_ / width));
    const Bytes values =
        weight.file->read_large(weight.offset + begin * width, count * width, buffer_);
    const std::span codes(reinterpret_cast<std::uint8_t*>(out.data()), count);
    if (quantize_e4m3(weight.dtype, values, scale, codes) != 0) raise_nan(weight, scale);
    begin += count;
    out = out.subspan(count);
  }
}

void BlockMaker::follow_recipe(const PlannedTensor& tensor,
                               std::uint64_t begin,
                               std::span<std::byte> out) {
  const TensorRecipe& recipe = *tensor.recipe;
  const std::uint64_t in_unit = recipe.unit_in();
  const std::uint64_t out_unit = recipe.unit_out();
  const auto read = [&](std::uint64_t unit, std::uint64_t count) -> Bytes {
    const TensorInfo& source = *tensor.ingredient;
    if (in_unit > stage_) {
      large_unit_.resize(static_cast<std::size_t>(in_unit));
      source.file->read(source.offset + unit * in_unit, large_unit_);
      return large_unit_;
    }
    return source.file->read_large(source.offset + unit * in_unit, count * in_unit, buffer_);
  };
  while (!out.empty()) {
    const std::uint64_t unit = begin / out_unit;
    const std::uint64_t skipped = begin % out_unit;
    std::uint64_t done = 0;
    if (skipped == 0 && out.size() >= out_unit) {
      const std::uint64_t count =
          std::min(out.size() / out_unit, std::max<std::uint64_t>(stage_ / in_unit, 1));
      done = count * out_unit;
      recipe.make(*tensor.ingredient, read(unit, count), out.first(static_cast<std::size_t>(done)));
    } else {  // a unit that the block begins or ends within
      unit_.resize(static_cast<std::size_t>(out_unit));
      recipe.make(*tensor.ingredient, read(unit, 1), unit_);
      done = std::min<std::uint64_t>(out_unit - skipped, out.size());
      copy_part(unit_, skipped, out.first(static_cast<std::size_t>(done)));
    }
    begin += done;
    out = out.subspan(static_cast<std::size_t>(done));
  }
}

}  // namespace ditq
