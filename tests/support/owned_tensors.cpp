#include "support/owned_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <stdexcept>

#include "base/float.h"
#include "family/dialect.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "quant/clip.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq::test {
namespace {

std::size_t rows_of(const OwnedTensor& tensor) {
  return static_cast<std::size_t>(tensor.shape.at(0));
}

bool ends_with_any(const std::string& name, const std::vector<std::string>& ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [&](const std::string& end) { return name.ends_with(end); });
}

float amax_of(const std::vector<float>& values) {
  float amax = 0.0f;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  return amax;
}

std::string with_index(const std::string& pattern, int index) {
  const std::size_t mark = pattern.find('#');
  return mark == std::string::npos
             ? pattern
             : pattern.substr(0, mark) + std::to_string(index) + pattern.substr(mark + 1);
}

/// Joins the parts' tensors of one parameter.
OwnedTensor fused(const std::vector<const OwnedTensor*>& parts, const std::string& parameter) {
  const OwnedTensor& first = *parts.front();
  const bool shared = parameter == "pre_quant_scale" || parameter == "svdquant_lora_a";
  const bool scalar = first.bytes.size() == bits(first.dtype) / 8;
  const bool equal = std::all_of(parts.begin(), parts.end(),
                                 [&](const OwnedTensor* part) { return *part == first; });
  if (parts.size() == 1 || shared || (scalar && equal)) return first;
  OwnedTensor out{.dtype = first.dtype, .shape = first.shape, .bytes = {}};
  if (scalar) out.shape = {0};
  out.shape[0] = 0;
  for (const OwnedTensor* part : parts) {
    out.shape[0] += scalar ? 1 : part->shape[0];
    out.bytes.insert(out.bytes.end(), part->bytes.begin(), part->bytes.end());
  }
  return out;
}

/// The parameters that a module has.
std::set<std::string> parameters_of(const OwnedTensors& tensors, const std::string& module) {
  std::set<std::string> out;
  for (auto it = tensors.lower_bound(module + "."); it != tensors.end(); ++it) {
    if (!it->first.starts_with(module + ".")) break;
    const TensorName name = split_tensor_name(it->first);
    if (name.module == module) out.insert(name.parameter);
  }
  return out;
}

class OwnedView : public TensorView {
 public:
  explicit OwnedView(const OwnedTensors& tensors) : owned_(tensors) {
    for (const auto& [name, tensor] : owned_)
      tensors_[name] = {.dtype = tensor.dtype, .shape = tensor.shape};
  }
  const std::string& path() const override { return path_; }
  const std::map<std::string, ViewedTensor>& tensors() const override { return tensors_; }
  TensorBytes read(const std::string& name) const override {
    return {.bytes = owned_.at(name).bytes, .owner = nullptr};
  }
  void release_pages() const override {}

 private:
  std::string path_ = "memory";
  OwnedTensors owned_;
  std::map<std::string, ViewedTensor> tensors_;
};

}  // namespace

OwnedTensors load_tensors(const std::string& path) {
  OwnedTensors out;
  const Checkpoint checkpoint = Checkpoint::open(path);
  for (const auto& [name, info] : checkpoint.tensors()) {
    const Bytes bytes = info->bytes();
    out[name] = {info->dtype, info->shape, {bytes.begin(), bytes.end()}};
  }
  return out;
}

OwnedTensors load_tensors(const TensorView& view) {
  OwnedTensors out;
  for (const auto& [name, tensor] : view.tensors()) {
    const TensorBytes read = view.read(name);
    out[name] = {tensor.dtype, tensor.shape, {read.bytes.begin(), read.bytes.end()}};
  }
  return out;
}

void write_tensors(const std::string& path,
                   const OwnedTensors& tensors,
                   const std::map<std::string, std::string>& metadata) {
  Json header = {{"__metadata__", metadata}};
  std::string data;
  // Wide elements first, so that all are aligned.
  std::vector<std::pair<std::string, const OwnedTensor*>> rows;
  for (const auto& [name, tensor] : tensors) rows.emplace_back(name, &tensor);
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return bits(a.second->dtype) > bits(b.second->dtype);
  });
  for (const auto& [name, tensor] : rows) {
    const std::size_t begin = data.size();
    data += text_of(tensor->bytes);
    header[name] = {{"dtype", ditq::name(tensor->dtype)},
                    {"shape", tensor->shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  put_file(path, safetensors_bytes(text, data));
}

OwnedTensor f32_tensor(const std::vector<float>& values) {
  OwnedTensor out{.dtype = Dtype::f32, .shape = {}, .bytes = {}};
  if (values.size() != 1) out.shape = {static_cast<std::int64_t>(values.size())};
  out.bytes.resize(values.size() * sizeof(float));
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

OwnedTensor text_tensor(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {Dtype::u8, {static_cast<std::int64_t>(text.size())}, {bytes.begin(), bytes.end()}};
}

std::span<std::uint8_t> codes_of(OwnedTensor& tensor) {
  return {reinterpret_cast<std::uint8_t*>(tensor.bytes.data()), tensor.bytes.size()};
}

std::vector<float> floats_of(const OwnedTensor& tensor) {
  const std::size_t width = bits(tensor.dtype) / 8;
  std::vector<float> values(tensor.bytes.size() / width);
  if (tensor.dtype == Dtype::f32) {
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  std::vector<std::uint16_t> halves(values.size());
  std::memcpy(halves.data(), tensor.bytes.data(), tensor.bytes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor.dtype == Dtype::bf16 ? bf16_to_float(halves[i]) : f16_to_float(halves[i]);
  }
  return values;
}

OwnedTensor bf16_of(const Shape& shape, const std::vector<float>& values) {
  OwnedTensor out{.dtype = Dtype::bf16, .shape = shape, .bytes = {}};
  std::vector<std::uint16_t> halves(values.size());
  std::transform(values.begin(), values.end(), halves.begin(), float_to_bf16);
  out.bytes.resize(halves.size() * 2);
  std::memcpy(out.bytes.data(), halves.data(), out.bytes.size());
  return out;
}

void quantize_nvfp4(OwnedTensors& tensors,
                    const std::function<std::string(const std::string&)>& group) {
  std::map<std::string, float> amax;
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : tensors) {
    const TensorName parts = split_tensor_name(name);
    if (parts.parameter != "weight" || tensor.shape.size() != 2 || group(parts.module).empty())
      continue;
    modules.push_back(parts.module);
    float& shared = amax[group(parts.module)];
    shared = std::max(shared, amax_of(floats_of(tensor)));
  }
  for (const std::string& module : modules) {
    const OwnedTensor plain = tensors.at(module + ".weight");
    const float scale = nvfp4_global_scale(amax[group(module)]);
    OwnedTensor packed{Dtype::u8, {plain.shape[0], plain.shape[1] / 2}, {}};
    OwnedTensor scales{Dtype::f8_e4m3, {plain.shape[0], plain.shape[1] / 16}, {}};
    packed.bytes.resize(plain.bytes.size() / 4);
    scales.bytes.resize(plain.bytes.size() / 32);
    ditq::quantize_nvfp4(plain.dtype, plain.bytes, scale, codes_of(packed), codes_of(scales));
    tensors[module + ".weight"] = packed;
    tensors[module + ".weight_scale"] = scales;
    tensors[module + ".weight_scale_2"] = f32_tensor({scale});
    tensors[module + ".input_scale"] = f32_tensor({nvfp4_global_scale(3.0f)});
  }
}

void quantize_fp8(OwnedTensors& tensors, const std::function<bool(const std::string&)>& quantized) {
  const OwnedTensors all = tensors;
  for (const auto& [name, plain] : all) {
    const TensorName parts = split_tensor_name(name);
    if (parts.parameter != "weight" || plain.shape.size() != 2 || !quantized(parts.module))
      continue;
    const float scale = amax_of(floats_of(plain)) / kE4m3Max;
    OwnedTensor codes{Dtype::f8_e4m3, plain.shape, std::vector<std::byte>(plain.bytes.size() / 2)};
    quantize_e4m3(plain.dtype, plain.bytes, scale, codes_of(codes));
    tensors[name] = codes;
    tensors[parts.module + ".weight_scale"] = f32_tensor({scale});
    tensors[parts.module + ".input_scale"] = f32_tensor({3.0f / kE4m3Max});
  }
}

void quantize_fp8_rows(OwnedTensors& tensors,
                       const std::function<bool(const std::string&)>& quantized,
                       bool column) {
  const OwnedTensors all = tensors;
  for (const auto& [name, plain] : all) {
    const TensorName parts = split_tensor_name(name);
    if (parts.parameter != "weight" || plain.shape.size() != 2 || !quantized(parts.module))
      continue;
    const auto rows = static_cast<std::size_t>(plain.shape[0]);
    const std::size_t row_bytes = plain.bytes.size() / rows;
    const std::size_t columns = row_bytes / (bits(plain.dtype) / 8);
    OwnedTensor codes{Dtype::f8_e4m3, plain.shape, std::vector<std::byte>(rows * columns)};
    std::vector<float> scales;
    for (std::size_t row = 0; row < rows; ++row) {
      const Bytes source = Bytes(plain.bytes).subspan(row * row_bytes, row_bytes);
      scales.push_back(clipped_amax_e4m3({}, plain.dtype, source) / kE4m3Max);
      quantize_e4m3_clamped(plain.dtype, source, scales.back(),
                            codes_of(codes).subspan(row * columns, columns));
    }
    tensors[name] = codes;
    OwnedTensor& scale = tensors[parts.module + ".weight_scale"];
    scale = f32_tensor(scales);
    scale.shape = column ? Shape{plain.shape[0], 1} : Shape{plain.shape[0]};
  }
}

std::vector<std::string> packed_modules(const OwnedTensors& tensors) {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : tensors) {
    const TensorName parts = split_tensor_name(name);
    if (parts.parameter == "weight" && tensor.dtype == Dtype::u8) out.push_back(parts.module);
  }
  return out;
}

void swap_nibbles_of(OwnedTensor& weight) {
  swap_nibbles(codes_of(weight));
}

void swizzle_of(OwnedTensor& block_scales) {
  const std::size_t rows = rows_of(block_scales);
  const auto columns = static_cast<std::size_t>(block_scales.shape.at(1));
  const std::vector<std::uint8_t> out = swizzle_scales(codes_of(block_scales), rows, columns);
  const std::size_t padded_columns = (columns + 3) / 4 * 4;
  block_scales.shape = {static_cast<std::int64_t>(out.size() / padded_columns),
                        static_cast<std::int64_t>(padded_columns)};
  const auto bytes = std::as_bytes(std::span(out));
  block_scales.bytes.assign(bytes.begin(), bytes.end());
}

void swap_halves_of(OwnedTensor& tensor) {
  if (rows_of(tensor) % 2 != 0) throw std::runtime_error("an odd number of rows has no halves");
  std::rotate(tensor.bytes.begin(),
              tensor.bytes.begin() + static_cast<std::ptrdiff_t>(tensor.bytes.size() / 2),
              tensor.bytes.end());
}

OwnedTensors in_dialect(const OwnedTensors& diffusers, const DialectMark& mark) {
  constexpr int kMostBlocks = 64;
  OwnedTensors out;
  OwnedTensors rest = diffusers;
  for (const DialectRule& rule : mark.rules) {
    const int blocks = rule.module.find('#') == std::string::npos ? 1 : kMostBlocks;
    for (int block = 0; block < blocks; ++block) {
      for (const std::string& parameter :
           parameters_of(diffusers, with_index(rule.parts.front().module, block))) {
        std::vector<const OwnedTensor*> parts;
        for (const DialectPart& part : rule.parts) {
          const std::string name = with_index(part.module, block) + "." + parameter;
          parts.push_back(&diffusers.at(name));
          rest.erase(name);
        }
        OwnedTensor tensor = fused(parts, parameter);
        if (rule.swap_halves && ends_with_any(parameter, {"weight", "bias"}))
          swap_halves_of(tensor);
        const std::string module = mark.prefix + with_index(rule.module, block);
        const bool norm = module.find(".norm.") != std::string::npos;
        out[module + "." + (norm ? "scale" : parameter)] = tensor;
      }
    }
  }
  for (const auto& [name, tensor] : rest) out[mark.prefix + name] = tensor;
  return out;
}

void pack_as_comfy(OwnedTensors& tensors) {
  for (const std::string& module : packed_modules(tensors)) {
    swap_nibbles_of(tensors.at(module + ".weight"));
    swizzle_of(tensors.at(module + ".weight_scale"));
  }
}

std::shared_ptr<const TensorView> view_of(const OwnedTensors& tensors) {
  return std::make_shared<const OwnedView>(tensors);
}

const DialectMark& dialect(const FamilySpec& family, const std::string& name) {
  const auto found = std::find_if(family.dialects.begin(), family.dialects.end(),
                                  [&](const DialectMark& mark) { return mark.dialect == name; });
  if (found == family.dialects.end()) throw std::runtime_error("no dialect " + name);
  return *found;
}

}  // namespace ditq::test
