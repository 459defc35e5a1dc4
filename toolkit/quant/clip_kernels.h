#pragma once
// The inner loops of quant/clip.h: plain loops that the compiler turns into vector code, once for each level of x86-64.

#include <cstddef>
#include <cstdint>

namespace ditq::clip {

/// Sum of (v - scale · E4M3(clamp(v / scale, ±448)))² in binary64, in eight interleaved partial sums.
double squared_error_e4m3(const float* values, std::size_t count, float scale);

/// codes[i] = encode_e4m3(clamp(values[i] / scale, ±448)); returns the number of codes that are NaN.
std::size_t encode_e4m3_clamped(const float* values,
                                std::size_t count,
                                float scale,
                                std::uint8_t* codes);

}  // namespace ditq::clip
