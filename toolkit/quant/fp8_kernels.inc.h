// The loops behind quant/fp8.h, included by one translation unit for each instruction set, inside an unnamed namespace.

using ditq::fp8::clamp_to_e4m3;
using ditq::fp8::encode_e4m3_bits;
using ditq::fp8::Kernels;

// One element of the source as float.
struct FromF32 {
  using Bits = std::uint32_t;
  static float value(Bits bits) { return __builtin_bit_cast(float, bits); }
  static float round(float value) { return value; }
};
struct FromBf16 {
  using Bits = std::uint16_t;
  static float value(Bits bits) { return ditq::bf16_to_float(bits); }
  static float round(float value) { return ditq::fp8::round_to_bf16(value); }
};
struct FromF16 {
  using Bits = std::uint16_t;
  static float value(Bits bits) { return ditq::f16_to_float(bits); }
  static float round(float value) { return ditq::fp8::round_to_f16(value); }
};

struct Divide {
  template <typename Source>
  static float apply(float value, float scale) {
    return value / scale;
  }
};
struct DivideAndRound {
  template <typename Source>
  static float apply(float value, float scale) {
    return Source::round(value / scale);
  }
};
struct MultiplyAndClamp {
  template <typename Source>
  static float apply(float value, float inverse_scale) {
    return clamp_to_e4m3(value * inverse_scale);
  }
};

template <typename Source, typename Operation>
std::size_t quantize(const void* source, float factor, std::uint8_t* codes, std::size_t count) {
  // Blocks of fixed length stay in the first cache level, and the compiler sees loops without remainders.
  constexpr std::size_t kBlock = 256;
  const auto* bytes = static_cast<const std::byte*>(source);
  typename Source::Bits in[kBlock] = {};
  std::uint8_t out[kBlock];
  std::size_t nans = 0;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = count - begin < kBlock ? count - begin : kBlock;
    std::memcpy(in, bytes + begin * sizeof(in[0]), size * sizeof(in[0]));
    for (std::size_t i = 0; i < kBlock; ++i) {
      out[i] = encode_e4m3_bits(Operation::template apply<Source>(Source::value(in[i]), factor));
    }
    std::memcpy(codes + begin, out, size);
    std::uint8_t any = 0;
    for (std::size_t i = 0; i < kBlock; ++i)
      any |= static_cast<std::uint8_t>((out[i] & 0x7fU) == 0x7fU);
    if (any == 0) continue;
    for (std::size_t i = 0; i < size; ++i) nans += (out[i] & 0x7fU) == 0x7fU ? 1 : 0;
  }
  return nans;
}

Kernels make_kernels(std::string_view instruction_set) {
  return {
      .instruction_set = instruction_set,
      .divide = {&quantize<FromF32, Divide>, &quantize<FromBf16, Divide>,
                 &quantize<FromF16, Divide>},
      .divide_and_round = {&quantize<FromF32, DivideAndRound>, &quantize<FromBf16, DivideAndRound>,
                           &quantize<FromF16, DivideAndRound>},
      .clamp = {&quantize<FromF32, MultiplyAndClamp>, &quantize<FromBf16, MultiplyAndClamp>,
                &quantize<FromF16, MultiplyAndClamp>}};
}
