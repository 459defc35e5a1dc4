// Source: NVIDIA ModelOpt 0.47, modelopt/torch/export/quant_utils.py (_update_svdquant,
// preprocess_linear_fusion): order and rounding.

#include "pipeline/unify_svdquant.h"

#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "convert/component_source.h"
#include "ops/abs_max.h"
#include "ops/low_rank.h"
#include "pipeline/state_file.h"
#include "pipeline/state_table.h"
#include "pipeline/svdquant.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// A member of a group, as its state has it.
struct Member {
  std::string module;
  Tensor weight;  ///< the smoothed residual [N, K]
  Tensor pre_quant_scale, a, b;
  Tensor input_amax;  ///< may be empty
};

class Unifier {
 public:
  explicit Unifier(const UnifySvdquantRequest& request)
      : state_(open_state_table(request.state)),
        base_(resolve_transformer(request.base_folder, "", {.needs_architecture = false})),
        rank_(request.rank) {}

  /// The members' tensors under the state's keys.
  void unify(const std::vector<std::string>& group, Statistics& out);

 private:
  Member member(const std::string& module);
  Tensor residual(const Member& member);
  Tensor restored(const Member& member, const Tensor& common) const;

  std::unique_ptr<const StateTable> state_;
  TransformerSource base_;
  std::int64_t rank_;
  bool said_derived_ = false;
};

Member Unifier::member(const std::string& module) {
  Member out{.module = module,
             .weight = {},
             .pre_quant_scale = state_->at(pre_quant_scale_key(module)),
             .a = state_->at(low_rank_a_key(module)),
             .b = state_->at(low_rank_b_key(module)),
             .input_amax = state_->find(input_amax_key(module))};
  if (out.a.dim() != 2 || out.b.dim() != 2 || out.b.size(1) != out.a.size(0) ||
      out.pre_quant_scale.numel() != out.a.size(1)) {
    throw Error(ErrorCode::wrong_shape, "an SVDQuant layer's tensors do not fit each other",
                {.path = state_->path(),
                 .tensor = module,
                 .expected = "factors [rank, K] and [N, rank], a scale [K]",
                 .found = fmt::format("{} and {}, {}", to_string(shape_of(out.a)),
                                      to_string(shape_of(out.b)),
                                      to_string(shape_of(out.pre_quant_scale)))});
  }
  out.weight = residual(out);
  const Shape expected{out.b.size(0), out.a.size(1)};
  if (shape_of(out.weight) != expected) {
    throw Error(ErrorCode::wrong_shape, "a weight does not fit its low-rank branch",
                {.path = state_->path(),
                 .tensor = weight_key(module),
                 .expected = to_string(expected),
                 .found = to_string(shape_of(out.weight))});
  }
  return out;
}

/// The state's weight; of a state without weights, what smoothing makes of the base's by the scale that was stored,
/// which is the scale that was used, rounded.
Tensor Unifier::residual(const Member& member) {
  Tensor stored = state_->find(weight_key(member.module));
  if (stored.defined()) return stored;
  if (!said_derived_) {
    log_info(fmt::format("{}: holds no weights; residuals are made from {}", state_->path(),
                         base_.tensors->path()));
    said_derived_ = true;
  }
  const std::string name = weight_key(member.module);
  const ViewedTensor& info = base_.tensors->at(name);
  const Tensor weight = from_bytes(base_.tensors->read(name), info.dtype, info.shape)
                            .to(member.pre_quant_scale.scalar_type());
  const Tensor scale = member.pre_quant_scale.to(at::kFloat);
  return weight.mul(scale.reciprocal())
      .to(weight.scalar_type())
      .sub(product({.a = member.a, .b = member.b}));
}

/// The weight under the common scale, f32 [N, K].
Tensor Unifier::restored(const Member& member, const Tensor& common) const {
  const Tensor branch = product({.a = member.a.to(at::kFloat), .b = member.b.to(at::kFloat)});
  return member.weight.to(at::kFloat)
      .add(branch)
      .mul(member.pre_quant_scale.to(at::kFloat).div(common));
}

void Unifier::unify(const std::vector<std::string>& group, Statistics& out) {
  std::vector<Member> members;
  std::vector<Tensor> scales;
  for (const std::string& module : group) {
    members.push_back(member(module));
    scales.push_back(members.back().pre_quant_scale);
  }
  const Tensor mean = stacked(scales, 0).mean(0);
  std::vector<Tensor> weights;
  for (const Member& member : members) {
    weights.push_back(restored(member, mean.to(at::kFloat)));
  }
  const Tensor all = joined(weights, 0);
  const LowRank factors = low_rank(all, rank_);
  const Tensor rest = all.sub(product(factors));

  Tensor input_amax;
  Tensor weight_amax;
  std::int64_t row = 0;
  for (const Member& member : members) {
    const std::int64_t rows = member.weight.size(0);
    const auto dtype = member.weight.scalar_type();
    const Tensor weight = rest.narrow(0, row, rows).to(dtype).contiguous();
    out[weight_key(member.module)] = weight;
    out[pre_quant_scale_key(member.module)] = mean;
    out[low_rank_a_key(member.module)] = factors.a.to(member.a.scalar_type());
    out[low_rank_b_key(member.module)] =
        factors.b.narrow(0, row, rows).to(member.b.scalar_type()).contiguous();
    row += rows;
    const Tensor amax = abs_max(weight);
    weight_amax = weight_amax.defined() ? weight_amax.maximum(amax) : amax;
    if (!member.input_amax.defined()) continue;
    input_amax = input_amax.defined() ? input_amax.maximum(member.input_amax) : member.input_amax;
  }
  for (const Member& member : members) {
    out[weight_amax_key(member.module)] = weight_amax;
    if (input_amax.defined()) out[input_amax_key(member.module)] = input_amax;
  }
}

/// Errors: usage.
void check_request(const UnifySvdquantRequest& request) {
  if (request.rank < 1) {
    throw Error(ErrorCode::usage, "--lowrank is out of range",
                {.expected = "at least 1", .found = std::to_string(request.rank)});
  }
  for (const std::vector<std::string>& group : request.groups) {
    if (group.size() >= 2) continue;
    throw Error(ErrorCode::usage, "a group of layers to unify needs two of them");
  }
}

}  // namespace

void unify_svdquant(const UnifySvdquantRequest& request) {
  check_request(request);
  Unifier unifier(request);
  Statistics out;
  ProgressBar bar("joint branches", request.groups.size(), "group");
  for (const std::vector<std::string>& group : request.groups) {
    check_interrupt();
    unifier.unify(group, out);
    bar.advance();
  }
  bar.finish();
  write_statistics(request.output, out,
                   {{"unified_from", request.state}, {"lowrank", request.rank}});
}

}  // namespace ditq
