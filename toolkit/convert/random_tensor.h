#pragma once
// Tensors of normally distributed values, in the encodings of checkpoints.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ditq {

/// Values of one tensor by their number: element i depends on the seed, the tensor's name and i alone, so that any part
/// can be made by any thread.
class RandomTensor {
 public:
  RandomTensor(std::uint64_t seed, const std::string& name);

  /// Numbers of a uniform distribution over 0 … 65535 for elements [begin, begin + out.size()); begin a multiple of 4.
  void ranks(std::uint64_t begin, std::span<std::uint16_t> out) const;

 private:
  std::uint64_t base_;
};

/// The standard normal distribution's quantile at (rank + 0.5) / 65536: the value that a rank stands for.
const std::vector<float>& normal_quantiles();

/// The largest of them, 4.32: what a calibration finds as the largest magnitude.
float largest_quantile();

/// mean + deviation * quantile, rounded to bf16.
void normal_bf16(const RandomTensor& random,
                 std::uint64_t begin,
                 float mean,
                 float deviation,
                 std::span<std::uint16_t> out);

/// E4M3 codes of a normal tensor whose largest magnitude becomes 448.
void normal_e4m3(const RandomTensor& random, std::uint64_t begin, std::span<std::uint8_t> out);

}  // namespace ditq
