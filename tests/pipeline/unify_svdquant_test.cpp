#include "pipeline/unify_svdquant.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "ops/low_rank.h"
#include "pipeline/state_file.h"
#include "pipeline/svdquant.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

const std::vector<std::string> kGroup{"transformer_blocks.0.attn.to_q",
                                      "transformer_blocks.0.attn.to_k",
                                      "transformer_blocks.0.attn.to_v"};
constexpr std::int64_t kRank = 6;

std::string base_folder() {
  return (test::tiny_flux() / "transformer").string();
}
Tensor base_weight(const std::string& module) {
  return test::load(test::tiny_flux() / "transformer/diffusion_pytorch_model.safetensors",
                    weight_key(module));
}

/// SVDQuant's state of the group, with smoothing scales of its own for each member.
Statistics made_state(bool with_weights) {
  Statistics out;
  std::uint64_t seed = 1;
  for (const std::string& module : kGroup) {
    const Tensor weight = base_weight(module);
    // Exact in bf16, so that a state without weights can be made up from the base.
    const Tensor scale = normal(seed++, {256}, at::kFloat).abs().add(0.5).to(at::kBFloat16);
    const SvdquantLayer layer = split_layer(weight, scale.to(at::kFloat), kRank);
    out[pre_quant_scale_key(module)] = layer.pre_quant_scale;
    out[low_rank_a_key(module)] = layer.a;
    out[low_rank_b_key(module)] = layer.b;
    out[input_amax_key(module)] = filled({}, static_cast<double>(seed), at::kBFloat16);
    out[weight_amax_key(module)] = layer.residual.abs().max();
    if (with_weights) out[weight_key(module)] = layer.residual;
  }
  return out;
}

Statistics unified(const Statistics& state) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "state.safetensors";
  write_statistics(path, state, {});
  unify_svdquant({.base_folder = base_folder(),
                  .state = path,
                  .groups = {kGroup},
                  .rank = kRank,
                  .output = folder / "unified.safetensors"});
  return read_statistics(SafetensorsFile::open(folder / "unified.safetensors"));
}

TEST(UnifySvdquant, GivesTheGroupOneScaleOneFactorAndOneAmax) {
  const Statistics state = made_state(true);
  const Statistics found = unified(state);
  EXPECT_EQ(found.size(), 6 * kGroup.size());
  std::vector<Tensor> scales;
  float weight_amax = 0;
  for (const std::string& module : kGroup) {
    scales.push_back(state.at(pre_quant_scale_key(module)));
    weight_amax = std::max(weight_amax, found.at(weight_key(module)).abs().max().item<float>());
  }
  const Tensor mean = stacked(scales, 0).mean(0);
  for (const std::string& module : kGroup) {
    EXPECT_TRUE(found.at(pre_quant_scale_key(module)).equal(mean)) << module;
    EXPECT_TRUE(found.at(low_rank_a_key(module)).equal(found.at(low_rank_a_key(kGroup[0]))));
    EXPECT_EQ(found.at(input_amax_key(module)).item<float>(), 4.0F);
    EXPECT_EQ(found.at(weight_amax_key(module)).item<float>(), weight_amax);
  }
}

TEST(UnifySvdquant, TheBranchIsTheJointWeightsBestOfItsRank) {
  const Statistics state = made_state(true);
  const Statistics found = unified(state);
  std::vector<Tensor> wanted;
  std::vector<Tensor> branches;
  std::vector<Tensor> residuals;
  for (const std::string& module : kGroup) {
    const auto wide = [&](const Tensor& x) { return x.to(at::kDouble); };
    const Tensor restored = wide(state.at(weight_key(module)))
                                .add(wide(state.at(low_rank_b_key(module)))
                                         .matmul(wide(state.at(low_rank_a_key(module)))));
    wanted.push_back(restored.mul(wide(state.at(pre_quant_scale_key(module)))
                                      .div(wide(found.at(pre_quant_scale_key(module))))));
    branches.push_back(
        wide(found.at(low_rank_b_key(module))).matmul(wide(found.at(low_rank_a_key(module)))));
    residuals.push_back(wide(found.at(weight_key(module))));
  }
  const Tensor all = joined(wanted, 0);
  const Tensor exact = product(low_rank(all, kRank));
  // Factors are stored in bf16: two roundings of 2^-9 for each of the rank's products.
  EXPECT_LE(test::relative(joined(branches, 0), exact), 0x1p-7);
  // The residual was taken before the factors were rounded, and is rounded itself.
  EXPECT_LE(test::relative(joined(residuals, 0), all.sub(exact)), 0x1p-8);
}

TEST(UnifySvdquant, AStateWithoutWeightsTakesThemFromTheModel) {
  const Statistics with = unified(made_state(true));
  for (const auto& [key, value] : unified(made_state(false))) {
    EXPECT_TRUE(value.equal(with.at(key))) << key;
  }
}

TEST(UnifySvdquant, NamesWhatTheStateLacks) {
  Statistics state = made_state(true);
  state.erase(low_rank_b_key(kGroup[1]));
  try {
    unified(state);
    ADD_FAILURE() << "nothing was raised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::missing_tensor);
    EXPECT_EQ(error.facts().tensor, low_rank_b_key(kGroup[1]));
  }
}

TEST(UnifySvdquant, RefusesAGroupOfOne) {
  try {
    unify_svdquant({.base_folder = base_folder(),
                    .state = "unread",
                    .groups = {{kGroup[0]}},
                    .rank = kRank,
                    .output = "unwritten"});
    ADD_FAILURE() << "nothing was raised";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
  }
}

}  // namespace
}  // namespace ditq
