#include "models/encoders/t5.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "models/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using ::testing::HasSubstr;

T5Encoder tiny(at::ScalarType dtype) {
  const std::string path = tiny_flux() / "text_encoder_2/config.json";
  return {open_weights(tiny_flux() / "text_encoder_2/model.safetensors", dtype),
          T5Config::parse(read_json(path), path)};
}

T5Config t5_xxl() {
  return T5Config::parse(Json{{"d_model", 4096},
                              {"d_ff", 10240},
                              {"num_layers", 24},
                              {"num_heads", 64},
                              {"feed_forward_proj", "gated-gelu"}},
                         "x");
}

TEST(T5Encoder, GivesTheHiddenStatesOfTransformersInF32) {
  const std::string file = data("models/text_layers_fp32.safetensors");
  const T5Encoder t5 = tiny(at::kFloat);
  const Taps taps;
  t5(recorded(file, "t5_ids"));
  for (const char* name : {"t5.hidden.0", "t5.hidden.1", "t5.hidden.2", "t5.last_hidden_state"}) {
    const Tensor ours = taps.at(name).slice(1, 0, std::nullopt, 8);
    // The same arithmetic in another order of summation; 4e-7 was measured.
    EXPECT_LT(relative_error(ours, recorded(file, name)), 1e-5) << name;
  }
}

TEST(T5Encoder, EncodesALengthOf512) {
  for (const char* name : {"models/text_p2_fp32.safetensors", "models/text_p2_bf16.safetensors"}) {
    const std::string file = data(name);
    const Tensor expected = recorded(file, "prompt_embeds");
    const Tensor states = tiny(expected.scalar_type())(recorded(file, "t5_ids"));
    EXPECT_EQ(states.size(1), 512);
    EXPECT_EQ(states.scalar_type(), expected.scalar_type());
    const Tensor ours = states.slice(1, 0, std::nullopt, 16);
    // bf16 has 8 bits: other orders of summation differ by a unit in the last place here and there.
    const bool wide = expected.scalar_type() == at::kFloat;
    EXPECT_LT(relative_error(ours, expected), wide ? 1e-5 : 3e-2) << name;
    EXPECT_GT(cosine(ours, expected), wide ? 1 - 1e-9 : 0.9999) << name;
  }
}

TEST(T5Encoder, AgreesWithAllRecordedPrompts) {
  const auto folder = golden("golden/flux1-tiny/text");
  if (!folder) GTEST_SKIP() << "no golden data: set DITQ_TEST_DATA";
  for (const char* prompt : {"p0", "p1", "p2"}) {
    for (const char* dtype : {"fp32", "bf16"}) {
      const std::string file = *folder / (std::string(prompt) + "_" + dtype + ".safetensors");
      const Tensor expected = recorded(file, "prompt_embeds");
      const Tensor ours = tiny(expected.scalar_type())(recorded(file, "t5_ids"));
      const bool wide = expected.scalar_type() == at::kFloat;
      const double error = relative_error(ours, expected);
      EXPECT_LT(error, wide ? 1e-5 : 3e-2) << file;
      EXPECT_GT(cosine(ours, expected), wide ? 1 - 1e-9 : 0.9999) << file;
      RecordProperty(std::string(prompt) + dtype, std::to_string(error));
    }
  }
}

TEST(T5Encoder, IsBuiltFromShardsAndEitherEmbeddingName) {
  const std::string whole = tiny_flux() / "text_encoder_2/model.safetensors";
  const Checkpoint source = Checkpoint::open(whole);
  const TemporaryFolder folder;
  const std::vector<std::string> files = {"model-00001-of-00002.safetensors",
                                          "model-00002-of-00002.safetensors"};
  std::vector<std::vector<TensorData>> shards(2);
  Json index = {{"metadata", {{"total_size", source.total_size()}}},
                {"weight_map", Json::object()}};
  for (const auto& [stored, info] : source.tensors()) {
    const std::string name = stored == "shared.weight" ? "encoder.embed_tokens.weight" : stored;
    const std::size_t shard = name.find("block.1") == std::string::npos ? 0 : 1;
    shards[shard].push_back({name, info->dtype, info->shape, info->bytes()});
    index["weight_map"][name] = files[shard];
  }
  for (std::size_t i = 0; i < 2; ++i) write_safetensors(folder / files[i], shards[i], {});
  write_text(folder / "model.safetensors.index.json", dump_json(index));

  const std::string config = tiny_flux() / "text_encoder_2/config.json";
  const T5Encoder sharded(open_weights(folder.path(), at::kFloat),
                          T5Config::parse(read_json(config), config));
  const Tensor ids = recorded(data("models/text_layers_fp32.safetensors"), "t5_ids");
  EXPECT_TRUE(sharded(ids).equal(tiny(at::kFloat)(ids)));
}

// Where transformers' bucket changes, for distances up to 2000.
TEST(T5Encoder, SortsDistancesIntoTransformersBuckets) {
  struct Case {
    std::int64_t buckets, max_distance;
    std::vector<std::int64_t> changes;
  };
  const std::vector<Case> cases = {
      {32, 128, {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91}},
      {8, 20, {1, 2, 7}},
      {32, 1000, {1, 2, 3, 4, 5, 6, 7, 8, 15, 27, 49, 90, 164, 300, 547}},
  };
  for (const Case& c : cases) {
    T5Config config;
    config.num_buckets = c.buckets;
    config.max_distance = c.max_distance;
    std::vector<std::int64_t> changes;
    for (std::int64_t distance = 1; distance <= 2000; ++distance) {
      const std::int64_t before = t5_bucket(-distance, config);
      EXPECT_EQ(t5_bucket(distance, config), before + c.buckets / 2);
      if (before != t5_bucket(1 - distance, config)) changes.push_back(distance);
    }
    EXPECT_EQ(changes, c.changes);
  }
}

TEST(T5Encoder, KnowsTheTensorsOfT5XxlUnderBothEmbeddingNames) {
  auto found = read_names(data("models/t5_xxl.names"));
  ASSERT_EQ(found.size(), 220U);  // the tied embedding under both names
  EXPECT_NO_THROW(check_weights(t5_weights(t5_xxl(), "shared.weight"), found, "x"));
  const auto shared = found.extract("shared.weight");
  EXPECT_NO_THROW(check_weights(t5_weights(t5_xxl(), "encoder.embed_tokens.weight"), found, "x"));
  found.erase("encoder.embed_tokens.weight");
  EXPECT_THROW(check_weights(t5_weights(t5_xxl(), "shared.weight"), found, "x"), Error);
  found["shared.weight"] = shared.mapped();
  found["decoder.block.0.layer.0.SelfAttention.q.weight"] = {Dtype::bf16, {4096, 4096}};
  EXPECT_NO_THROW(check_weights(t5_weights(t5_xxl(), "shared.weight"), found, "x"));
}

TEST(T5Config, ReadsEveryKindOfFeedForward) {
  const auto parse = [](const char* text) {
    return T5Config::parse(Json{{"feed_forward_proj", text}}, "config.json");
  };
  EXPECT_EQ(parse("gated-gelu").activation, "gelu_new");
  EXPECT_TRUE(parse("gated-gelu").gated);
  EXPECT_EQ(parse("gated-silu").activation, "silu");
  EXPECT_EQ(parse("relu").activation, "relu");
  EXPECT_FALSE(parse("relu").gated);
  EXPECT_EQ(parse("gelu").activation, "gelu");
  EXPECT_THROW(parse("gated-gated-gelu"), Error);
  EXPECT_THROW(parse("sine"), Error);
}

TEST(T5Config, ReportsAllBadValuesInOneError) {
  const Json config = {
      {"model_type", "umt5"}, {"d_model", 0}, {"d_kv", 1.5}, {"relative_attention_num_buckets", 2}};
  try {
    T5Config::parse(config, "config.json");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
    for (const char* part : {"umt5", "d_model", "d_kv", "num_buckets", "config.json"}) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
}

}  // namespace
}  // namespace ditq::test
