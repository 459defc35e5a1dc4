// Source: PyTorch c10/util/BFloat16.h and Half.h @ 2.11.0 for the roundings.

#include "quant/cast.h"

#include <cstring>

#include "base/error.h"
#include "base/float.h"

namespace ditq {
namespace {

struct F32 {
  using Bits = float;
  static float value(Bits bits) { return bits; }
  static Bits bits(float value) { return value; }
};
struct Bf16 {
  using Bits = std::uint16_t;
  static float value(Bits bits) { return bf16_to_float(bits); }
  static Bits bits(float value) { return float_to_bf16(value); }
};
struct F16 {
  using Bits = std::uint16_t;
  static float value(Bits bits) { return f16_to_float(bits); }
  static Bits bits(float value) { return float_to_f16(value); }
};

template <typename From, typename To>
void cast_all(Bytes source, std::span<std::byte> out) {
  const std::size_t count = source.size() / sizeof(typename From::Bits);
  DITQ_ASSERT(count * sizeof(typename To::Bits) == out.size());
  for (std::size_t i = 0; i < count; ++i) {
    typename From::Bits in;
    std::memcpy(&in, source.data() + i * sizeof(in), sizeof(in));
    const typename To::Bits result = To::bits(From::value(in));
    std::memcpy(out.data() + i * sizeof(result), &result, sizeof(result));
  }
}

template <typename From>
void cast_from(Bytes source, Dtype to, std::span<std::byte> out) {
  switch (to) {
    case Dtype::f32:
      return cast_all<From, F32>(source, out);
    case Dtype::bf16:
      return cast_all<From, Bf16>(source, out);
    case Dtype::f16:
      return cast_all<From, F16>(source, out);
    default:
      DITQ_ASSERT(!"a castable dtype");
  }
}

}  // namespace

bool is_castable(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::bf16 || dtype == Dtype::f16;
}

void cast_elements(Dtype from, Bytes source, Dtype to, std::span<std::byte> out) {
  if (from == to) {
    DITQ_ASSERT(source.size() == out.size());
    if (!out.empty()) std::memcpy(out.data(), source.data(), out.size());
    return;
  }
  switch (from) {
    case Dtype::f32:
      return cast_from<F32>(source, to, out);
    case Dtype::bf16:
      return cast_from<Bf16>(source, to, out);
    case Dtype::f16:
      return cast_from<F16>(source, to, out);
    default:
      DITQ_ASSERT(!"a castable dtype");
  }
}

}  // namespace ditq
