#include "format/checkpoint.h"

#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "format/checkpoint_index.h"
#include "helpers.h"
#include "support/paths.h"

namespace ditq {
namespace {

using test::code_of;
using test::error_of;
using test::put_file;

constexpr const char* kIndex = "model.safetensors.index.json";

/// A shard whose tensors are single bytes: their names' last characters.
void put_shard(const std::string& path, const std::vector<std::string>& names) {
  std::vector<TensorData> tensors;
  for (const std::string& name : names) {
    tensors.push_back({name, Dtype::u8, {1}, test::bytes_of(name).last(1)});
  }
  write_safetensors(path, tensors, {});
}

void put_index(const std::string& path,
               const std::vector<std::pair<std::string, std::string>>& weight_map) {
  Json index;
  index["metadata"]["total_size"] = 0;
  index["weight_map"] = Json::object();
  for (const auto& [tensor, shard] : weight_map) index["weight_map"][tensor] = shard;
  put_file(path, index.dump());
}

TEST(Checkpoint, OpensASingleFile) {
  const test::TemporaryFolder folder;
  put_shard(folder / "x.safetensors", {"b", "a"});
  const Checkpoint checkpoint = Checkpoint::open(folder / "x.safetensors");
  EXPECT_EQ(checkpoint.first_shard(), "x.safetensors");
  EXPECT_FALSE(checkpoint.index_name());
  EXPECT_EQ(checkpoint.tensors().size(), 2U);
  EXPECT_EQ(checkpoint.total_size(), 2U);
  EXPECT_EQ(checkpoint.tensors().begin()->first, "a");
}

TEST(Checkpoint, OpensAFolderWithOneShard) {
  const test::TemporaryFolder folder;
  put_shard(folder / "x.safetensors", {"a"});
  put_file(folder / "config.json", "{}");
  std::filesystem::create_directory(folder / "sub.safetensors");
  const Checkpoint checkpoint = Checkpoint::open(folder.path().string());
  EXPECT_EQ(checkpoint.shards().size(), 1U);
  EXPECT_EQ(test::text_of(checkpoint.at("a").bytes()), "a");
  EXPECT_EQ(checkpoint.find("b"), nullptr);
}

TEST(Checkpoint, OpensShardsOfAnIndex) {
  const test::TemporaryFolder folder;
  put_shard(folder / "1.safetensors", {"a", "c"});
  put_shard(folder / "2.safetensors", {"b"});
  put_shard(folder / "unrelated.safetensors", {"z"});
  put_index(folder / kIndex,
            {{"b", "2.safetensors"}, {"a", "1.safetensors"}, {"c", "1.safetensors"}});
  const Checkpoint checkpoint = Checkpoint::open(folder.path().string());
  EXPECT_EQ(checkpoint.index_name(), kIndex);
  EXPECT_EQ(checkpoint.first_shard(), "2.safetensors") << "the first entry of weight_map";
  EXPECT_EQ(checkpoint.shards().size(), 2U) << "the index does not name unrelated.safetensors";
  EXPECT_EQ(checkpoint.tensors().size(), 3U);
  EXPECT_EQ(test::text_of(checkpoint.at("b").bytes()), "b");
}

TEST(Checkpoint, StaysValidWhenMoved) {
  const test::TemporaryFolder folder;
  put_shard(folder / "x.safetensors", {"a"});
  Checkpoint first = Checkpoint::open(folder.path().string());
  const Checkpoint second = std::move(first);
  EXPECT_EQ(test::text_of(second.at("a").bytes()), "a");
}

TEST(Checkpoint, ChoosesTheIndexByTheThreeRules) {
  const std::string model = "model.safetensors.index.json";
  const std::string diffusers = "diffusion_pytorch_model.safetensors.index.json";
  EXPECT_EQ(choose_index({"a.safetensors.index.json", diffusers, model}), model);
  EXPECT_EQ(choose_index({"a.safetensors.index.json", diffusers}), diffusers);
  EXPECT_EQ(choose_index({"z.safetensors.index.json", "b.safetensors.index.json"}),
            "b.safetensors.index.json");
  EXPECT_EQ(choose_index({"index.json", "a.safetensors", "a.safetensors.index.json.bak"}),
            std::nullopt);
}

TEST(Checkpoint, RefusesNoneOrSeveralShardsWithoutAnIndex) {
  const test::TemporaryFolder folder;
  const auto found = [&] {
    const auto error = error_of([&] { Checkpoint::open(folder.path().string()); });
    return error ? fmt::format("{}: {}", name(error->code()), error->facts().found) : "ok";
  };
  EXPECT_EQ(found(), "ambiguous_shards: no index and 0 shards");
  put_shard(folder / "1.safetensors", {"a"});
  put_shard(folder / "2.safetensors", {"b"});
  EXPECT_EQ(found(), "ambiguous_shards: no index and 2 shards");
}

TEST(Checkpoint, JoinsShardsWithoutAnIndexWhenAsked) {
  const test::TemporaryFolder folder;
  put_shard(folder / "1.safetensors", {"a"});
  put_shard(folder / "2.safetensors", {"b"});
  const CheckpointOptions options{.require_index_for_shards = false};
  const Checkpoint checkpoint = Checkpoint::open(folder.path().string(), options);
  EXPECT_EQ(checkpoint.tensors().size(), 2U);
  EXPECT_EQ(checkpoint.first_shard(), "1.safetensors");
  put_shard(folder / "3.safetensors", {"b"});
  EXPECT_EQ(code_of([&] { Checkpoint::open(folder.path().string(), options); }),
            "duplicate_tensor");
}

TEST(Checkpoint, RefusesAMissingShard) {
  const test::TemporaryFolder folder;
  put_shard(folder / "1.safetensors", {"a"});
  put_index(folder / kIndex, {{"a", "1.safetensors"}, {"b", "gone.safetensors"}});
  const auto error = error_of([&] { Checkpoint::open(folder.path().string()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::missing_shard);
  EXPECT_EQ(error->facts().path, folder / kIndex);
  EXPECT_EQ(error->facts().expected, folder / "gone.safetensors");
  EXPECT_EQ(error->facts().tensor, "b");
}

TEST(Checkpoint, RefusesShardsOutsideTheFolder) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "inner");
  put_shard(folder / "moved.safetensors", {"a"});
  put_shard(folder / "inner/1.safetensors", {"a"});
  for (const std::string& shard :
       {std::string("../moved.safetensors"), folder / "moved.safetensors", std::string(".."),
        std::string("."), std::string(), std::string("./1.safetensors"),
        std::string("sub/1.safetensors"), std::string("1.safetensors\0x", 15)}) {
    put_index(folder / "inner/model.safetensors.index.json", {{"a", shard}});
    EXPECT_EQ(code_of([&] { Checkpoint::open(folder / "inner"); }), "shard_outside") << shard;
  }
}

TEST(Checkpoint, FollowsLinksToShardsElsewhere) {
  // The Hugging Face cache keeps every file as a link into its store.
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "snapshot");
  put_shard(folder / "blob", {"a"});
  std::filesystem::create_symlink("../blob", folder / "snapshot/1.safetensors");
  put_index(folder / "snapshot/model.safetensors.index.json", {{"a", "1.safetensors"}});
  EXPECT_EQ(Checkpoint::open(folder / "snapshot").tensors().size(), 1U);
}

TEST(Checkpoint, RefusesUnusableIndexes) {
  const test::TemporaryFolder folder;
  put_shard(folder / "1.safetensors", {"a"});
  const auto code = [&](std::string_view text) {
    put_file(folder / kIndex, text);
    return code_of([&] { Checkpoint::open(folder.path().string()); });
  };
  EXPECT_EQ(code(R"({"weight_map":{"a":"1.safetensors"}})"), "ok");
  EXPECT_EQ(code(""), "json_syntax");
  EXPECT_EQ(code("{'weight_map'"), "json_syntax");
  EXPECT_EQ(code("[]"), "bad_index");
  EXPECT_EQ(code("{}"), "bad_index");
  EXPECT_EQ(code(R"({"metadata":{}})"), "bad_index");
  EXPECT_EQ(code(R"({"weight_map":[]})"), "bad_index");
  EXPECT_EQ(code(R"({"weight_map":{}})"), "bad_index");
  EXPECT_EQ(code(R"({"weight_map":{"a":1}})"), "bad_index");
  EXPECT_EQ(code(R"({"weight_map":{"a":"1.safetensors","a":"1.safetensors"}})"), "bad_index");
  EXPECT_EQ(code(R"({"weight_map":{"a":"1.safetensors"},"weight_map":{}})"), "bad_index");
  EXPECT_EQ(code(std::string(100, '[') + std::string(100, ']')), "json_too_deep");
}

TEST(Checkpoint, ListsFiveOfEachKindWhereIndexAndShardDisagree) {
  const test::TemporaryFolder folder;
  std::vector<std::string> stored{"a"};
  std::vector<std::pair<std::string, std::string>> weight_map{{"a", "1.safetensors"}};
  for (int i = 0; i < 7; ++i) {
    stored.push_back(fmt::format("only.shard.{}", i));
    weight_map.emplace_back(fmt::format("only.index.{}", i), "1.safetensors");
  }
  put_shard(folder / "1.safetensors", stored);
  put_index(folder / kIndex, weight_map);
  const auto error = error_of([&] { Checkpoint::open(folder.path().string()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::index_disagrees);
  const std::string& found = error->facts().found;
  for (const char* kind : {"only.shard", "only.index"}) {
    EXPECT_NE(found.find(fmt::format("{}.4", kind)), std::string::npos) << found;
    EXPECT_EQ(found.find(fmt::format("{}.5", kind)), std::string::npos) << found;
  }
  EXPECT_NE(found.find("and 2 more"), std::string::npos) << found;
}

TEST(Checkpoint, RefusesATensorThatLiesInAnotherShardThanTheIndexSays) {
  const test::TemporaryFolder folder;
  put_shard(folder / "1.safetensors", {"a"});
  put_shard(folder / "2.safetensors", {"b"});
  put_index(folder / kIndex, {{"a", "2.safetensors"}, {"b", "1.safetensors"}});
  EXPECT_EQ(code_of([&] { Checkpoint::open(folder.path().string()); }), "index_disagrees");
}

TEST(Checkpoint, TakesTheCopyThatTheIndexNames) {
  // SGLang's FP8 builder writes a scale twice when the source keeps it in another shard than its
  // weight.
  const test::TemporaryFolder folder;
  write_safetensors(folder / "1.safetensors", {{"s", Dtype::u8, {}, test::bytes_of("1")}}, {});
  write_safetensors(folder / "2.safetensors", {{"s", Dtype::u8, {1}, test::bytes_of("2")}}, {});
  put_shard(folder / "3.safetensors", {"a"});
  put_index(folder / kIndex, {{"a", "3.safetensors"}, {"s", "2.safetensors"}});
  EXPECT_EQ(Checkpoint::open(folder.path().string()).tensors().size(), 2U);
  // Shard 1 is named by no entry, so it is not opened; with a tensor of its own it is, and the
  // index still decides.
  write_safetensors(
      folder / "1.safetensors",
      {{"s", Dtype::u8, {}, test::bytes_of("1")}, {"b", Dtype::u8, {}, test::bytes_of("b")}}, {});
  put_index(folder / kIndex,
            {{"a", "3.safetensors"}, {"b", "1.safetensors"}, {"s", "2.safetensors"}});
  const Checkpoint checkpoint = Checkpoint::open(folder.path().string());
  EXPECT_EQ(checkpoint.shards().size(), 3U);
  EXPECT_EQ(test::text_of(checkpoint.at("s").bytes()), "2");
  EXPECT_EQ(checkpoint.total_size(), 3U) << "the copy that counts";
}

TEST(Checkpoint, NamesWhatIsMissing) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(code_of([&] { Checkpoint::open(folder / "nowhere"); }), "file_not_found");
  put_shard(folder / "1.safetensors", {"a"});
  const Checkpoint checkpoint = Checkpoint::open(folder.path().string());
  const auto error = error_of([&] { static_cast<void>(checkpoint.at("b")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::missing_tensor);
  EXPECT_EQ(error->facts().tensor, "b");
  EXPECT_EQ(error->facts().path, folder.path().string());
}

TEST(Checkpoint, RefusesABrokenShard) {
  const test::TemporaryFolder folder;
  put_shard(folder / "1.safetensors", {"a"});
  put_file(folder / "2.safetensors", "short");
  put_index(folder / kIndex, {{"a", "1.safetensors"}, {"b", "2.safetensors"}});
  const auto error = error_of([&] { Checkpoint::open(folder.path().string()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::header_too_small);
  EXPECT_EQ(error->facts().path, folder / "2.safetensors");
}

}  // namespace
}  // namespace ditq
