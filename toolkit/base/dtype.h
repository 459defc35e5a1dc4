#pragma once
// Element types as safetensors spells them. Sizes are in bits, so that 4-bit types are not special.

#include <cstddef>
#include <optional>
#include <string_view>

namespace ditq {

/// Ordered as the upstream safetensors writer orders tensors by type: later ones (wider types) come first in a file.
/// Source: safetensors safetensors/src/tensor.rs @ 24b0b28 (Dtype).
enum class Dtype {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

/// Bits of one element.
std::size_t bits(Dtype dtype);

/// The spelling in a safetensors header, such as "F8_E4M3".
std::string_view name(Dtype dtype);

/// The dtype of a safetensors spelling, or nothing.
std::optional<Dtype> parse_dtype(std::string_view spelling);

}  // namespace ditq
