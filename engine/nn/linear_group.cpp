#include "nn/linear_group.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ditq {
namespace {

Form common_form(const std::vector<Linear>& parts) {
  const Form first = parts.front().form();
  const bool shared = std::all_of(parts.begin(), parts.end(),
                                  [&](const Linear& part) { return part.form() == first; });
  return shared ? first : Form();
}

/// The columns of all `outs` as one tensor. They must be neighbours: what a merged layer writes is allocated so.
Tensor side_by_side(const std::vector<Tensor>& outs) {
  std::vector<std::int64_t> shape = outs.front().sizes().vec();
  const auto* next = static_cast<const std::byte*>(outs.front().const_data_ptr());
  shape.back() = 0;
  for (const Tensor& out : outs) {
    DITQ_ASSERT(out.const_data_ptr() == next && out.strides() == outs.front().strides());
    next += static_cast<std::size_t>(out.size(-1)) * out.element_size();
    shape.back() += out.size(-1);
  }
  return outs.front().as_strided(shape, outs.front().strides());
}

}  // namespace

LinearGroup::LinearGroup(std::vector<Linear> parts)
    : parts_(std::move(parts)), form_(common_form(parts_)) {
  std::vector<const Linear*> all;
  for (const Linear& part : parts_) all.push_back(&part);
  merged_ = Linear::merged(all);
  if (merged_) parts_.clear();
}

void LinearGroup::into(const Tensor& x, const std::vector<Tensor>& outs) const {
  if (merged_) return merged_->into(x, side_by_side(outs));
  for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].into(x, outs[i]);
}

}  // namespace ditq
