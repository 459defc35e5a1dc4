#include "format/tensor_info.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/numbers.h"

namespace ditq {

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::uint64_t TensorInfo::elements() const {
  const auto count = element_count(shape);
  DITQ_ASSERT(count.has_value());
  return *count;
}

std::optional<std::uint64_t> byte_size(Dtype dtype, const Shape& shape) {
  const auto count = element_count(shape);
  if (!count) return std::nullopt;
  const auto all_bits = checked_mul(*count, bits(dtype));
  if (!all_bits || *all_bits % 8 != 0) return std::nullopt;
  return *all_bits / 8;
}

}  // namespace ditq
