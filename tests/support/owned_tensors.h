#pragma once
// Tensors in memory, and the forms of other tools made from them: the inverse of what loading undoes.

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "family/family.h"
#include "format/safetensors.h"
#include "format/tensor_view.h"
#include "quant/config.h"

namespace ditq::test {

/// A tensor with its own bytes.
struct OwnedTensor {
  Dtype dtype = Dtype::bf16;
  Shape shape;
  std::vector<std::byte> bytes;

  bool operator==(const OwnedTensor&) const = default;
};

using OwnedTensors = std::map<std::string, OwnedTensor>;

/// All tensors of a checkpoint, or of a view.
OwnedTensors load_tensors(const std::string& path);
OwnedTensors load_tensors(const TensorView& view);

/// Writes a .safetensors file, without waiting for the disk.
void write_tensors(const std::string& path,
                   const OwnedTensors& tensors,
                   const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

/// A float32 tensor of shape [] or, for several values, [n].
OwnedTensor f32_tensor(const std::vector<float>& values);

/// A U8 tensor of this text.
OwnedTensor text_tensor(const std::string& text);

/// The bytes as codes.
std::span<std::uint8_t> codes_of(OwnedTensor& tensor);

/// The values of a plain tensor.
std::vector<float> floats_of(const OwnedTensor& tensor);

/// A bf16 tensor of these values, rounded.
OwnedTensor bf16_of(const Shape& shape, const std::vector<float>& values);

/// Replaces weights by NVFP4 as ModelOpt exports it. `group` names what shares an amax; layers for which it is empty stay.
void quantize_nvfp4(OwnedTensors& tensors,
                    const std::function<std::string(const std::string&)>& group);

/// Replaces weights by FP8 with one scale each; layers for which `quantized` is false stay.
void quantize_fp8(OwnedTensors& tensors, const std::function<bool(const std::string&)>& quantized);

/// Replaces weights by FP8 with a scale for each row, [rows] or [rows, 1], and without input scales.
void quantize_fp8_rows(OwnedTensors& tensors,
                       const std::function<bool(const std::string&)>& quantized,
                       bool column);

/// Modules with a packed weight.
std::vector<std::string> packed_modules(const OwnedTensors& tensors);

/// Exchanges the nibbles of a packed weight.
void swap_nibbles_of(OwnedTensor& weight);

/// Puts linear block scales into the 128x4 order, shape [padded rows, padded columns].
void swizzle_of(OwnedTensor& block_scales);

/// Exchanges the halves of the rows.
void swap_halves_of(OwnedTensor& tensor);

/// Tensors of the diffusers dialect in another one: names, fused layers, exchanged halves. Scalar scales of fused layers
/// that are equal become one, others a vector.
OwnedTensors in_dialect(const OwnedTensors& diffusers, const DialectMark& mark);

/// What packs NVFP4 as comfy-kitchen does: nibbles and scales of all layers.
void pack_as_comfy(OwnedTensors& tensors);

/// The tensors as a view.
std::shared_ptr<const TensorView> view_of(const OwnedTensors& tensors);

/// A family's dialect by name.
const DialectMark& dialect(const FamilySpec& family, const std::string& name);

}  // namespace ditq::test
