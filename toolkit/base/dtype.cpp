#include "base/dtype.h"

#include <array>

namespace ditq {
namespace {

struct Row {
  Dtype dtype;
  std::size_t bits;
  std::string_view name;
};

constexpr std::array<Row, 22> kRows{{
    {Dtype::boolean, 8, "BOOL"},
    {Dtype::f4, 4, "F4"},
    {Dtype::f6_e2m3, 6, "F6_E2M3"},
    {Dtype::f6_e3m2, 6, "F6_E3M2"},
    {Dtype::u8, 8, "U8"},
    {Dtype::i8, 8, "I8"},
    {Dtype::f8_e5m2, 8, "F8_E5M2"},
    {Dtype::f8_e4m3, 8, "F8_E4M3"},
    {Dtype::f8_e8m0, 8, "F8_E8M0"},
    {Dtype::f8_e4m3fnuz, 8, "F8_E4M3FNUZ"},
    {Dtype::f8_e5m2fnuz, 8, "F8_E5M2FNUZ"},
    {Dtype::i16, 16, "I16"},
    {Dtype::u16, 16, "U16"},
    {Dtype::f16, 16, "F16"},
    {Dtype::bf16, 16, "BF16"},
    {Dtype::i32, 32, "I32"},
    {Dtype::u32, 32, "U32"},
    {Dtype::f32, 32, "F32"},
    {Dtype::c64, 64, "C64"},
    {Dtype::f64, 64, "F64"},
    {Dtype::i64, 64, "I64"},
    {Dtype::u64, 64, "U64"},
}};

constexpr bool rows_follow_the_enum() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].dtype) != i) return false;
  }
  return true;
}
static_assert(rows_follow_the_enum());

const Row& row(Dtype dtype) {
  return kRows[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::size_t bits(Dtype dtype) {
  return row(dtype).bits;
}

std::string_view name(Dtype dtype) {
  return row(dtype).name;
}

std::optional<Dtype> parse_dtype(std::string_view spelling) {
  for (const Row& candidate : kRows) {
    if (candidate.name == spelling) return candidate.dtype;
  }
  return std::nullopt;
}

}  // namespace ditq
