// Shards, indexes, and what an interrupted export of several folders leaves.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "convert/resume_log.h"
#include "ptq/export_documents.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

std::vector<PlannedTensor> tensors_of(const std::vector<std::uint64_t>& sizes) {
  std::vector<PlannedTensor> tensors;
  for (const std::uint64_t size : sizes) {
    tensors.push_back({.target = {"t" + std::to_string(tensors.size()),
                                  Dtype::u8,
                                  {static_cast<std::int64_t>(size)},
                                  size}});
  }
  return tensors;
}

std::vector<std::size_t> counts(const std::vector<PlannedShard>& shards) {
  std::vector<std::size_t> out;
  for (const PlannedShard& shard : shards) out.push_back(shard.tensors.size());
  return out;
}

TEST(Shards, AreFilledInOrderUpToTheLimit) {
  EXPECT_THAT(counts(cut_shards(tensors_of({4, 6, 1, 9, 1, 20, 1}), "", 10)),
              ElementsAre(2, 2, 1, 1, 1));
  EXPECT_THAT(counts(cut_shards(tensors_of({4, 6}), "", 10)), ElementsAre(2));
}

TEST(Shards, HaveDiffusersNamesAndIndex) {
  const auto one = cut_shards(tensors_of({4}), "transformer/", 10);
  EXPECT_EQ(one[0].name, "transformer/diffusion_pytorch_model.safetensors");
  EXPECT_FALSE(index_document(one, "transformer/"));
  const auto two = cut_shards(tensors_of({6, 6}), "transformer/", 10);
  EXPECT_EQ(two[1].name, "transformer/diffusion_pytorch_model-00002-of-00002.safetensors");
  const auto index = index_document(two, "transformer/");
  ASSERT_TRUE(index);
  EXPECT_EQ(index->name, "transformer/diffusion_pytorch_model.safetensors.index.json");
  EXPECT_EQ(index->text,
            "{\n  \"metadata\": {\n    \"total_size\": 12\n  },\n  \"weight_map\": {\n"
            "    \"t0\": \"diffusion_pytorch_model-00001-of-00002.safetensors\",\n"
            "    \"t1\": \"diffusion_pytorch_model-00002-of-00002.safetensors\"\n  }\n}\n");
}

TEST(ResumeLog, KeepsFinishedShardsOfSubFoldersAndNothingElse) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b/c"}) fs::create_directories(folder.path() / name);
  for (const char* name : {"a/done.safetensors", "a/half.safetensors", "b/c/other"}) {
    write_text(folder / name, "x");
  }
  ResumeLog(folder.path().string()).add("a/done.safetensors", "print", "digest");
  const ResumeLog log(folder.path().string());
  ASSERT_NE(log.find("a/done.safetensors", "print"), nullptr);
  EXPECT_EQ(log.find("a/done.safetensors", "another"), nullptr);
  EXPECT_EQ(log.keep_finished(), 1U);
  EXPECT_TRUE(fs::exists(folder / "a/done.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "a/half.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "b"));
}

TEST(ResumeLog, BelievesNoNameThatLeadsOutOfTheFolder) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "inner");
  write_text(folder / "outside", "x");
  ResumeLog(folder / "inner").add("../outside", "print", "digest");
  EXPECT_EQ(ResumeLog(folder / "inner").find("../outside", "print"), nullptr);
}

}  // namespace
}  // namespace ditq::test
