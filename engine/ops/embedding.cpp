#include "ops/embedding.h"

#include <ATen/ops/embedding.h>
#include <fmt/format.h>

#include "base/error.h"

namespace ditq {

Tensor embedding(const Tensor& ids, const Tensor& table) {
  DITQ_ASSERT(ids.scalar_type() == at::kLong);
  const Tensor flat = ids.contiguous();
  const auto* values = flat.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    if (values[i] >= 0 && values[i] < table.size(0)) continue;
    throw Error(ErrorCode::bad_tokenizer, "a token id lies outside the text encoder's vocabulary",
                {.expected = fmt::format("0…{}", table.size(0) - 1),
                 .found = std::to_string(values[i]),
                 .advice = "Check that tokenizer and text encoder belong together"});
  }
  return at::embedding(table, flat.to(table.device()));
}

}  // namespace ditq
