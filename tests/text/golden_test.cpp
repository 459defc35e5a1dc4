// Token ids against recorded ones: the bundled pipeline always, the full-size tokenizers where
// their data is there.
#include "text/golden.h"

#include <cstring>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/paths.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

using Ids = std::vector<std::int64_t>;

void expect_ids(const Tokenizer& tokenizer,
                const Json& cases,
                const std::string& field,
                const std::string& otherwise,
                std::int64_t max_length) {
  ASSERT_FALSE(cases.empty());
  for (const Json& golden : cases) {
    const std::string text = golden["text"];
    const Encoding encoding = tokenizer.encode(text, max_length, /*pad=*/false);
    EXPECT_EQ(encoding.ids, test::ids_of(golden, field, otherwise)) << field << ": " << golden;
  }
}

Json tiny_cases() {
  return test::golden_cases(test::data("text/tiny_golden.json"));
}

std::string tiny(const char* folder) {
  return (test::tiny_flux() / folder).string();
}

TEST(TinyGolden, ClipFastClassEqualsTransformers) {
  const auto clip = load_clip_tokenizer(tiny("tokenizer"), ClipTokenizerClass::fast);
  expect_ids(*clip, tiny_cases(), "clip", "clip", 0);
}

TEST(TinyGolden, ClipSlowClassEqualsTransformers4) {
  const auto clip = load_clip_tokenizer(tiny("tokenizer"), ClipTokenizerClass::slow);
  expect_ids(*clip, tiny_cases(), "clip_slow", "clip", 0);
}

TEST(TinyGolden, ClipFromTokenizerJsonAloneGivesTheSameIds) {
  const test::TemporaryFolder folder;
  test::copy_files(tiny("tokenizer"), folder.path(), {"tokenizer.json", "tokenizer_config.json"});
  const auto fast = load_clip_tokenizer(folder.path(), ClipTokenizerClass::fast);
  expect_ids(*fast, tiny_cases(), "clip", "clip", 0);
  const auto slow = load_clip_tokenizer(folder.path(), ClipTokenizerClass::slow);
  expect_ids(*slow, tiny_cases(), "clip_slow", "clip", 0);
}

TEST(TinyGolden, T5EqualsTheTokenizersLibrary) {
  expect_ids(*load_t5_tokenizer(tiny("tokenizer_2")), tiny_cases(), "t5", "t5", 0);
}

TEST(TinyGolden, T5FromSpieceModelEqualsTheSlowClass) {
  const test::TemporaryFolder folder;
  test::copy_files(tiny("tokenizer_2"), folder.path(),
                   {"spiece.model", "tokenizer_config.json", "special_tokens_map.json"});
  expect_ids(*load_t5_tokenizer(folder.path()), tiny_cases(), "t5_spiece", "t5", 0);

  std::ofstream(folder / "tokenizer_config.json") << R"({"legacy": false, "extra_ids": 100})";
  expect_ids(*load_t5_tokenizer(folder.path()), tiny_cases(), "t5_spiece_modern", "t5", 0);
}

TEST(TinyGolden, DecodesAsTransformers) {
  const auto clip = load_tokenizer(tiny("tokenizer"));
  const auto t5 = load_tokenizer(tiny("tokenizer_2"));
  for (const Json& golden : tiny_cases()) {
    EXPECT_EQ(clip->decode(golden["clip"].get<Ids>()), golden["clip_decoded"]) << golden;
    EXPECT_EQ(t5->decode(golden["t5"].get<Ids>()), golden["t5_decoded"]) << golden;
  }
}

TEST(ClipGolden, BothClassesEqualTransformersOnTheFullVocabulary) {
  const auto folder = test::golden("tokenizers/clip-vit-l-14");
  if (!folder) GTEST_SKIP() << "no tokenizers/clip-vit-l-14 under DITQ_TEST_DATA";
  const Json cases = test::golden_cases(*folder / "golden.json");
  const auto fast = load_clip_tokenizer(*folder, ClipTokenizerClass::fast);
  expect_ids(*fast, cases, "ids_fast", "ids", 77);
  const auto slow = load_clip_tokenizer(*folder, ClipTokenizerClass::slow);
  expect_ids(*slow, cases, "ids", "ids", 77);
  for (const Json& golden : cases) {
    const Encoding encoding = slow->encode(golden["text"].get<std::string>(), 77, /*pad=*/true);
    EXPECT_EQ(encoding.ids.size(), 77U);
    EXPECT_EQ(encoding.length, golden["n"]);
    EXPECT_EQ(encoding.untruncated_length, golden["n_untruncated"]);
    EXPECT_EQ(encoding.truncated, golden["n_untruncated"] > 77);
  }
}

TEST(ClipGolden, VocabularyOrderDoesNotMatter) {
  const auto source = test::golden("tokenizers/clip-vit-l-14");
  if (!source) GTEST_SKIP() << "no tokenizers/clip-vit-l-14 under DITQ_TEST_DATA";
  const test::TemporaryFolder folder;
  test::copy_files(*source, folder.path(),
                   {"merges.txt", "tokenizer_config.json", "special_tokens_map.json"});
  // nlohmann::json sorts by key, as the vocab.json of FLUX.1 is.
  std::ifstream vocab(*source / "vocab.json");
  std::ofstream(folder / "vocab.json") << nlohmann::json::parse(vocab).dump(2);
  expect_ids(*load_tokenizer(folder.path()), test::golden_cases(*source / "golden.json"),
             "ids_fast", "ids", 77);
}

TEST(T5Golden, TokenizerJsonEqualsTheTokenizersLibraryTiesIncluded) {
  const auto folder = test::golden("tokenizers/t5-v1_1");
  if (!folder) GTEST_SKIP() << "no tokenizers/t5-v1_1 under DITQ_TEST_DATA";
  const Json cases = test::golden_cases(*folder / "golden.json");
  const auto t5 = load_t5_tokenizer(*folder);
  expect_ids(*t5, cases, "ids", "ids", 512);
  for (const Json& golden : cases) {
    const Encoding encoding = t5->encode(golden["text"].get<std::string>(), 64, /*pad=*/true);
    EXPECT_EQ(encoding.length, golden["n_64"]);
    EXPECT_EQ(encoding.untruncated_length, golden["n_untruncated"]);
    EXPECT_EQ(encoding.ids.size(), 64U);
  }
}

TEST(T5Golden, SpieceModelEqualsTheSlowClassTiesIncluded) {
  const auto source = test::golden("tokenizers/t5-v1_1");
  if (!source) GTEST_SKIP() << "no tokenizers/t5-v1_1 under DITQ_TEST_DATA";
  const test::TemporaryFolder folder;
  test::copy_files(*source, folder.path(),
                   {"spiece.model", "tokenizer_config.json", "special_tokens_map.json"});
  expect_ids(*load_t5_tokenizer(folder.path()), test::golden_cases(*source / "golden.json"),
             "ids_slow", "ids", 512);
}

/// An I64 tensor of a small safetensors file.
Ids read_i64(const std::filesystem::path& file, const std::string& name) {
  std::ostringstream content;
  content << std::ifstream(file, std::ios::binary).rdbuf();
  const std::string bytes = content.str();
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const Json header = parse_json(std::string_view(bytes).substr(8, header_size), file.string());
  const Json offsets = header[name]["data_offsets"];
  Ids out((offsets[1].get<std::size_t>() - offsets[0].get<std::size_t>()) / 8);
  std::memcpy(out.data(), bytes.data() + 8 + header_size + offsets[0].get<std::size_t>(),
              out.size() * 8);
  return out;
}

TEST(PipelineGolden, PaddedIdsEqualWhatThePipelineFedItsEncoders) {
  const auto folder = test::golden("golden/flux1-tiny");
  if (!folder) GTEST_SKIP() << "no golden/flux1-tiny under DITQ_TEST_DATA";
  const auto clip = load_tokenizer(tiny("tokenizer"));
  const auto t5 = load_tokenizer(tiny("tokenizer_2"));
  for (const Json& golden : read_json((*folder / "cases.json").string())) {
    const std::string prompt = golden["prompt"];
    const auto file = *folder / "text" / (golden["name"].get<std::string>() + "_fp32.safetensors");
    EXPECT_EQ(clip->encode(prompt, 77, /*pad=*/true).ids, read_i64(file, "clip_ids"));
    const std::int64_t length = golden["max_sequence_length"];
    EXPECT_EQ(t5->encode(prompt, length, /*pad=*/true).ids, read_i64(file, "t5_ids"));
  }
}

}  // namespace
}  // namespace ditq
