#include "models/encoders/clip_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "models/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using ::testing::HasSubstr;

ClipTextConfig tiny_config() {
  const std::string path = tiny_flux() / "text_encoder/config.json";
  return ClipTextConfig::parse(read_json(path), path);
}

ClipText tiny(at::ScalarType dtype) {
  return {open_weights(tiny_flux() / "text_encoder/model.safetensors", dtype), tiny_config()};
}

ClipTextConfig clip_l() {
  return ClipTextConfig::parse(
      Json{{"hidden_size", 768}, {"intermediate_size", 3072}, {"num_attention_heads", 12}}, "x");
}

TEST(ClipText, GivesTheHiddenStatesOfTransformersInF32) {
  const std::string file = data("models/text_layers_fp32.safetensors");
  const ClipText clip = tiny(at::kFloat);
  const Taps taps;
  clip(recorded(file, "clip_ids"));
  for (const char* name :
       {"clip.hidden.0", "clip.hidden.1", "clip.hidden.2", "clip.last_hidden_state"}) {
    const Tensor ours = taps.at(name).slice(1, 0, std::nullopt, 8);
    // The same arithmetic in another order of summation; 3e-7 was measured.
    EXPECT_LT(relative_error(ours, recorded(file, name)), 1e-5) << name;
  }
  EXPECT_LT(relative_error(taps.at("clip.pooled"), recorded(file, "clip.pooled")), 1e-5);
}

TEST(ClipText, PoolsAtTheEndOfText) {
  for (const char* name : {"models/text_p2_fp32.safetensors", "models/text_p2_bf16.safetensors"}) {
    const std::string file = data(name);
    const Tensor expected = recorded(file, "pooled_prompt_embeds");
    const Tensor ours = tiny(expected.scalar_type())(recorded(file, "clip_ids")).pooled;
    EXPECT_EQ(ours.scalar_type(), expected.scalar_type());
    // bf16 has 8 bits: two valid orders of summation differ by a few units in the last place.
    const double tolerance = expected.scalar_type() == at::kFloat ? 1e-5 : 2e-2;
    EXPECT_LT(relative_error(ours, expected), tolerance) << name;
  }
}

TEST(ClipText, AgreesWithAllRecordedPrompts) {
  const auto folder = golden("golden/flux1-tiny/text");
  if (!folder) GTEST_SKIP() << "no golden data: set DITQ_TEST_DATA";
  for (const char* prompt : {"p0", "p1", "p2"}) {
    for (const char* dtype : {"fp32", "bf16"}) {
      const std::string file = *folder / (std::string(prompt) + "_" + dtype + ".safetensors");
      const Tensor expected = recorded(file, "pooled_prompt_embeds");
      const Tensor ours = tiny(expected.scalar_type())(recorded(file, "clip_ids")).pooled;
      const double error = relative_error(ours, expected);
      EXPECT_LT(error, expected.scalar_type() == at::kFloat ? 1e-5 : 2e-2) << file;
      RecordProperty(std::string(prompt) + dtype, std::to_string(error));
    }
  }
}

TEST(ClipText, EncodesRowsOfABatchIndependently) {
  const std::string p0 = data("models/text_layers_fp32.safetensors");
  const std::string p2 = data("models/text_p2_fp32.safetensors");
  const ClipText clip = tiny(at::kFloat);
  Tensor both = recorded(p0, "clip_ids").repeat({2, 1});
  both.select(0, 1).copy_(recorded(p2, "clip_ids").select(0, 0));
  const Tensor pooled = clip(both).pooled;
  EXPECT_LT(relative_error(pooled.narrow(0, 0, 1), recorded(p0, "clip.pooled")), 1e-5);
  EXPECT_LT(relative_error(pooled.narrow(0, 1, 1), recorded(p2, "pooled_prompt_embeds")), 1e-5);
}

TEST(ClipText, TakesTheLargestIdForTheOldEndOfTextId) {
  const std::string file = data("models/text_layers_fp32.safetensors");
  const Tensor ids = recorded(file, "clip_ids");
  ClipTextConfig old = tiny_config();
  ASSERT_EQ(old.eos_token_id, old.vocab_size - 1);
  old.eos_token_id = 2;
  const ClipText clip(open_weights(tiny_flux() / "text_encoder/model.safetensors", at::kFloat),
                      old);
  EXPECT_LT(relative_error(clip(ids).pooled, recorded(file, "clip.pooled")), 1e-5);
}

TEST(ClipText, PoolsTheFirstTokenWhereThereIsNoEndOfText) {
  const ClipText clip = tiny(at::kFloat);
  const Tensor ids = recorded(data("models/text_layers_fp32.safetensors"), "clip_ids").clone();
  ids.fill_(5);
  const auto out = clip(ids);
  EXPECT_TRUE(out.pooled.select(0, 0).equal(out.last_hidden_state.select(0, 0).select(0, 0)));
}

TEST(ClipText, RefusesIdsAndLengthsOutOfRange) {
  const ClipText clip = tiny(at::kFloat);
  const Tensor ids = recorded(data("models/text_layers_fp32.safetensors"), "clip_ids").clone();
  EXPECT_THROW(clip(ids.repeat({1, 2})), Error);
  ids.select(1, 3).fill_(614);
  EXPECT_THROW(clip(ids), Error);
  ids.select(1, 3).fill_(-1);
  EXPECT_THROW(clip(ids), Error);
}

TEST(ClipText, KnowsTheTensorsOfClipLInBothSpellings) {
  auto found = read_names(data("models/clip_l.names"));
  ASSERT_EQ(found.size(), 196U);
  EXPECT_NO_THROW(check_weights(clip_text_weights(clip_l(), ""), found, "x"));
  std::map<std::string, StoredTensor> prefixed;
  for (const auto& [name, tensor] : found) prefixed["text_model." + name] = tensor;
  prefixed["text_model.embeddings.position_ids"] = {Dtype::i64, {1, 77}};
  EXPECT_NO_THROW(check_weights(clip_text_weights(clip_l(), "text_model."), prefixed, "x"));
  EXPECT_THROW(check_weights(clip_text_weights(clip_l(), ""), prefixed, "x"), Error);
}

TEST(ClipText, ReportsAllProblemsOfACheckpointInOneError) {
  auto found = read_names(data("models/clip_l.names"));
  found.erase("encoder.layers.3.mlp.fc1.weight");
  found.erase("encoder.layers.4.mlp.fc1.weight");
  found["final_layer_norm.bias"].shape = {512};
  found["final_layer_norm.weight"].dtype = Dtype::f8_e4m3;
  found["surplus"] = {};
  try {
    check_weights(clip_text_weights(clip_l(), ""), found, "somewhere");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::family_mismatch);
    const std::string text = error.what();
    EXPECT_THAT(text, HasSubstr("missing encoder.layers.3.mlp.fc1.weight [3072, 768] and 1 more"));
    EXPECT_THAT(text, HasSubstr("misshapen final_layer_norm.bias expected [768], found [512]"));
    EXPECT_THAT(text, HasSubstr("unusable final_layer_norm.weight"));
    EXPECT_THAT(text, HasSubstr("unexpected surplus"));
    EXPECT_THAT(text, HasSubstr("somewhere"));
  }
}

TEST(ClipText, IsNotBuiltFromAnotherNetworksWeights) {
  const std::string t5 = tiny_flux() / "text_encoder_2/model.safetensors";
  EXPECT_THROW(ClipText(open_weights(t5, at::kFloat), tiny_config()), Error);
}

TEST(ClipTextConfig, ReportsAllBadValuesInOneError) {
  const Json config = {{"model_type", "bert"},
                       {"hidden_size", 100},
                       {"num_attention_heads", 8},
                       {"hidden_act", "tanh"},
                       {"num_hidden_layers", "12"},
                       {"layer_norm_eps", 0},
                       {"vocab_size", 18446744073709551615ULL}};
  try {
    ClipTextConfig::parse(config, "config.json");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
    for (const char* part : {"model_type", "hidden_size = 100", "'tanh'", "num_hidden_layers",
                             "layer_norm_eps", "vocab_size", "config.json"}) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
  EXPECT_THROW(ClipTextConfig::parse(Json::array(), "config.json"), Error);
}

}  // namespace
}  // namespace ditq::test
