// SVDQuant: the export of ModelOpt's recorded calibration. Its checkpoint was stored without large tensors, so that the
// residual weights of packed layers are computed here, by the rules of ModelOpt reference 4.4, 4.5 and 8, from the
// official factors. ModelOpt smooths with a float32 scale that it stores rounded to bfloat16: 2^-9 of a residual is not
// known, and of the packed codes those near a rounding boundary differ.

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/float.h"
#include "format/checkpoint.h"
#include "ptq/calibration_state.h"
#include "ptq/golden_export.h"
#include "ptq/recipes.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

float rounded(float value) {
  return bf16_to_float(float_to_bf16(value));
}

/// A low-rank branch: b [rows, rank], a [rank, columns], p [columns].
struct Branch {
  std::vector<float> a, b, p;
  std::size_t rows, columns, rank;

  float product(std::size_t row, std::size_t column) const {
    double sum = 0;
    for (std::size_t i = 0; i < rank; ++i) {
      sum += static_cast<double>(b[row * rank + i]) * a[i * columns + column];
    }
    return static_cast<float>(sum);
  }
};

Branch branch_of(const OwnedTensor& a, const OwnedTensor& b, const OwnedTensor& p) {
  return {.a = floats_of(a),
          .b = floats_of(b),
          .p = floats_of(p),
          .rows = static_cast<std::size_t>(b.shape[0]),
          .columns = static_cast<std::size_t>(a.shape[1]),
          .rank = static_cast<std::size_t>(a.shape[0])};
}

/// What is left of a weight once it is smoothed and its branch taken off (4.4, 4.5).
std::vector<float> residual(const std::vector<float>& weight, const Branch& branch) {
  std::vector<float> out(weight.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t column = i % branch.columns;
    const float smoothed = rounded(weight[i] * (1.0f / branch.p[column]));
    out[i] = rounded(smoothed - rounded(branch.product(i / branch.columns, column)));
  }
  return out;
}

/// The residual under a joint branch, from the member's own (8).
std::vector<float> joint_residual(const std::vector<float>& own_residual,
                                  const Branch& own,
                                  const Branch& joint) {
  std::vector<float> out(own_residual.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t row = i / own.columns;
    const std::size_t column = i % own.columns;
    const float restored =
        (own_residual[i] + own.product(row, column)) * (own.p[column] / joint.p[column]);
    out[i] = rounded(restored - joint.product(row, column));
  }
  return out;
}

float amax_of(const std::vector<float>& values) {
  float amax = 0;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  return amax;
}

OwnedTensor bf16_scalar(float value) {
  return bf16_of({}, {value});
}

/// The share of packed codes that are equal.
double equal_nibbles(const OwnedTensors& ours, const OwnedTensors& theirs) {
  std::size_t equal = 0;
  std::size_t all = 0;
  for (const auto& [name, tensor] : theirs) {
    if (tensor.dtype != Dtype::u8) continue;
    const std::vector<std::byte>& mine = ours.at(name).bytes;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const auto differing = std::to_integer<unsigned>(mine[i] ^ tensor.bytes[i]);
      equal += ((differing & 15U) == 0 ? 1U : 0U) + (differing < 16 ? 1U : 0U);
      all += 2;
    }
  }
  return static_cast<double>(equal) / static_cast<double>(all);
}

/// The recorded calibration as a state file, and the joint branches of the official export as what unification writes.
class RecordedSvdquant {
 public:
  explicit RecordedSvdquant(const fs::path& root)
      : base_(load_tensors((tiny_flux() / "transformer").string())),
        official_(load_tensors((root / "transformer").string())) {
    const CalibrationState recorded =
        CalibrationState::open((root / "transformer.small.pt").string());
    for (const auto& [name, tensor] : recorded.tensors()) {
      if (name.find("_quantizer.") == std::string::npos) continue;
      std::vector<std::byte> bytes(tensor->size);
      if (recorded.is_transposed(*tensor)) {
        transpose_recipe(tensor->shape, tensor->dtype, tensor->dtype)
            ->make(*tensor, tensor->bytes(), bytes);
      } else {
        std::ranges::copy(tensor->bytes(), bytes.begin());
      }
      state_[name] = {tensor->dtype, tensor->shape, std::move(bytes)};
    }
    for (const auto& [name, tensor] : official_) {
      if (name.ends_with(".svdquant_lora_a")) add_layer(name.substr(0, name.rfind('.')));
    }
  }

  void write_state(const std::string& path) const {
    write_tensors(path, state_, {{"ditq_calibration", R"({"complete": true})"}});
  }

  void write_joint(const std::string& path, const UnifyGroups& groups) const {
    OwnedTensors joint;
    for (const auto& group : groups.groups) {
      float amax = 0;
      for (const std::string& member : group) amax = std::max(amax, add_member(member, joint));
      for (const std::string& member : group) {
        joint[member + ".weight_quantizer._amax"] = bf16_scalar(amax);
      }
    }
    write_tensors(path, joint);
  }

 private:
  /// Large factors were not stored: those of layers without joint branches are in the export.
  void add_layer(const std::string& module) {
    const auto add = [&](const std::string& key, const std::string& from) {
      state_.emplace(module + key, official_.at(module + from));
    };
    add(".weight_quantizer._svdquant_lora_a", ".svdquant_lora_a");
    add(".weight_quantizer._svdquant_lora_b", ".svdquant_lora_b");
    const OwnedTensor& kept = official_.at(module + ".weight");
    if (kept.dtype == Dtype::bf16) {  // of a layer that is not packed: the residual itself
      state_[module + ".weight"] = kept;
      return;
    }
    const OwnedTensor& weight = base_.at(module + ".weight");
    state_[module + ".weight"] =
        bf16_of(weight.shape, residual(floats_of(weight), own_branch(module)));
  }

  Branch own_branch(const std::string& module) const {
    return branch_of(state_.at(module + ".weight_quantizer._svdquant_lora_a"),
                     state_.at(module + ".weight_quantizer._svdquant_lora_b"),
                     state_.at(module + ".input_quantizer._pre_quant_scale"));
  }

  /// Adds a member's joint tensors; returns its residual's amax.
  float add_member(const std::string& module, OwnedTensors& joint) const {
    const OwnedTensor& a = official_.at(module + ".svdquant_lora_a");
    const OwnedTensor& b = official_.at(module + ".svdquant_lora_b");
    const OwnedTensor& p = official_.at(module + ".pre_quant_scale");
    const OwnedTensor& weight = state_.at(module + ".weight");
    const std::vector<float> values =
        joint_residual(floats_of(weight), own_branch(module), branch_of(a, b, p));
    joint[module + ".weight"] = bf16_of(weight.shape, values);
    joint[module + ".weight_quantizer._svdquant_lora_a"] = a;
    joint[module + ".weight_quantizer._svdquant_lora_b"] = b;
    joint[module + ".input_quantizer._pre_quant_scale"] = p;
    return amax_of(values);
  }

  OwnedTensors base_;
  OwnedTensors official_;
  OwnedTensors state_;
};

TEST(Svdquant, ExportOfTheRecordedCalibrationIsTheOfficialOne) {
  const auto root = golden("golden/flux1-tiny/modelopt/nvfp4-svdquant");
  if (!root) GTEST_SKIP() << "no golden data";
  const TemporaryFolder folder;
  const RecordedSvdquant recorded(*root);
  recorded.write_state(folder / "state.safetensors");
  QuantizeRequest request = restore_request("flux-dev", tiny_flux(), "tiny-flux",
                                            folder / "state.safetensors", folder / "hf");
  request.format = "fp4";
  std::size_t groups = 0;
  request.unify = [&](const UnifyGroups& asked) {
    groups = asked.groups.size();
    EXPECT_EQ(asked.rank, 16);
    recorded.write_joint(folder / "joint.safetensors", asked);
    return folder / "joint.safetensors";
  };
  quantize(request);
  EXPECT_EQ(groups, 8U);  // q, k, v of six blocks, and of the text stream of two
  EXPECT_EQ(text_of(folder / "hf/transformer/config.json"),
            text_of(*root / "transformer/config.json"));
  std::set<std::string> unexpected;
  for (const std::string& line :
       tensor_differences(folder / "hf/transformer", *root / "transformer")) {
    const std::string name = line.substr(0, line.find(' '));
    const bool made = name.ends_with(".weight") || name.ends_with(".weight_scale") ||
                      name.ends_with(".weight_scale_2");
    if (!made || !line.ends_with(" has other bytes")) unexpected.insert(line);
  }
  EXPECT_THAT(unexpected, testing::IsEmpty()) << "factors, scales of inputs, layers that stay";
  const OwnedTensors ours = load_tensors(folder / "hf/transformer");
  const OwnedTensors theirs = load_tensors((*root / "transformer").string());
  EXPECT_GT(equal_nibbles(ours, theirs), 0.97);
  for (const auto& [name, tensor] : theirs) {
    if (!name.ends_with(".weight_scale_2")) continue;
    // One bf16 step of the residual's amax; exact where the amax was recorded.
    const bool joint = name.find(".attn.to_q") != std::string::npos ||
                       name.find(".attn.to_k") != std::string::npos ||
                       name.find(".attn.to_v") != std::string::npos ||
                       name.find(".attn.add_") != std::string::npos;
    const float expected = floats_of(tensor)[0];
    EXPECT_NEAR(floats_of(ours.at(name))[0], expected, joint ? expected * 0x1p-7f : 0.0f) << name;
  }
}

TEST(Svdquant, RefusesAStateWithoutResiduals) {
  const auto root = golden("golden/flux1-tiny/modelopt/nvfp4-svdquant");
  if (!root) GTEST_SKIP() << "no golden data";
  const TemporaryFolder folder;
  QuantizeRequest request = restore_request("flux-dev", tiny_flux(), "tiny-flux",
                                            *root / "transformer.small.pt", folder / "hf");
  request.unify = [&](const UnifyGroups&) {
    write_tensors(folder / "joint.safetensors", {});
    return folder / "joint.safetensors";
  };
  try {
    quantize(request);
    FAIL() << "written without residuals";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::missing_tensor);
  }
}

}  // namespace
}  // namespace ditq::test
