#include "convert/shard_pipeline.h"

#include <filesystem>
#include <numeric>
#include <span>

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "convert/resume_log.h"
#include "convert/small_export.h"
#include "format/helpers.h"
#include "quant/fp8.h"

namespace ditq::test {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

/// An input of several dtypes and sizes, and the plan of two shards made of it.
class Pipeline : public testing::Test {
 protected:
  Pipeline() {
    // Blocks are 256 KiB at the least: tensors of less, of more, of odd sizes and of none.
    tensors_["a.weight"] = bf16_tensor({700, 1000});
    tensors_["b.weight"] = f32_of(tensors_["a.weight"]);
    tensors_["c.bias"] = bf16_tensor({3});
    tensors_["d.empty"] = bf16_tensor({0, 5});
    tensors_["e.large"] = bf16_tensor({1000, 1001});
    for (int i = 0; i < 50; ++i) tensors_["f.small" + std::to_string(i)] = bf16_tensor({i});
    std::vector<TensorData> rows;
    for (const auto& [name, tensor] : tensors_) {
      rows.push_back({name, tensor.dtype, tensor.shape, tensor.bytes});
    }
    write_safetensors(folder_ / "in.safetensors", rows, {});
    input_ = SafetensorsFile::open(folder_ / "in.safetensors");
    for (const char* name : {"1.safetensors", "2.safetensors"}) {
      shards_.push_back({.name = name, .metadata = {{"format", "pt"}, {"name", name}}});
      for (const TensorInfo& tensor : input_.tensors) add(tensor, shards_.back());
    }
    for (const PlannedShard& shard : shards_) laid_out_.push_back(lay_out(shard));
  }

  static OwnedTensor f32_of(const OwnedTensor& source) {
    OwnedTensor out{.dtype = Dtype::f32, .shape = source.shape};
    for (std::size_t i = 0; i < source.bytes.size(); i += 2) {
      out.bytes.insert(out.bytes.end(),
                       {std::byte{0}, std::byte{0}, source.bytes[i], source.bytes[i + 1]});
    }
    return out;
  }

  static void add(const TensorInfo& tensor, PlannedShard& shard) {
    if (!tensor.name.ends_with(".weight")) {
      shard.tensors.push_back(
          {.target = {tensor.name, tensor.dtype, tensor.shape, tensor.size}, .copy_of = &tensor});
      return;
    }
    shard.tensors.push_back(
        {.target = {tensor.name, Dtype::f8_e4m3, tensor.shape, tensor.elements()},
         .quantize = &tensor,
         .scale = kScale});
    shard.tensors.push_back({.target = {tensor.name + "_scale", Dtype::f32, {1}, 4},
                             .is_scale = true,
                             .scale = kScale});
  }

  /// Writes to a new folder and gives the files' contents.
  std::vector<std::string> run(const PipelineLimits& limits) {
    const std::string folder = folder_ / "out";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    digests_.clear();
    write_shards(laid_out_, folder, limits,
                 [&](std::size_t, const std::string& digest) { digests_.push_back(digest); });
    return {get_file(folder + "/1.safetensors"), get_file(folder + "/2.safetensors")};
  }

  static constexpr float kScale = 0.01f;
  TemporaryFolder folder_;
  OwnedTensors tensors_;
  SafetensorsFile input_;
  std::vector<PlannedShard> shards_;
  std::vector<LaidOutShard> laid_out_;
  std::vector<std::string> digests_;
};

TEST_F(Pipeline, WritesTheSameForAnyNumberOfThreadsAndAnyMemory) {
  const std::vector<std::string> first = run({.jobs = 1});
  const SafetensorsFile written = SafetensorsFile::open(folder_ / "out/1.safetensors");
  for (const auto& [name, tensor] : tensors_) {
    const std::string bytes(text_of(written.find(name)->bytes()));
    if (!name.ends_with(".weight")) {
      EXPECT_EQ(bytes, text_of(tensor.bytes)) << name;
      continue;
    }
    std::vector<std::uint8_t> codes(bytes.size());
    quantize_e4m3(tensor.dtype, tensor.bytes, kScale, codes);
    EXPECT_EQ(bytes, text_of(std::as_bytes(std::span(codes)))) << name;
  }
  for (const std::uint64_t jobs : {2, 3, 8, 40}) EXPECT_EQ(run({.jobs = jobs}), first) << jobs;
  // Far more than the least, as sanitizers multiply what a program takes.
  EXPECT_EQ(run({.jobs = 8, .max_memory = 1024 * kMiB}), first);
  EXPECT_EQ(run({}), first);
}

TEST_F(Pipeline, GivesTheDigestsOfItsFiles) {
  const std::vector<std::string> files = run({.jobs = 8});
  ASSERT_EQ(digests_.size(), 2U);
  for (std::size_t i = 0; i < files.size(); ++i) {
    Sha256 digest;
    digest.update(files[i]);
    EXPECT_EQ(digests_[i], digest.finish());
  }
}

TEST_F(Pipeline, RefusesMemoryThatIsTooLittle) {
  EXPECT_EQ(code_of([&] { run({.max_memory = 1}); }), "usage");
}

TEST_F(Pipeline, RaisesTheFirstErrorInFileOrderWhateverTheThreads) {
  for (PlannedShard& shard : shards_) {
    for (PlannedTensor& tensor : shard.tensors) {
      if (tensor.quantize != nullptr) tensor.scale = 1e-6f;  // no code for values this large
    }
  }
  for (int i = 0; i < 20; ++i) {
    const auto error = error_of([&] { run({.jobs = 8}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::not_a_number);
    EXPECT_EQ(error->facts().tensor, "a.weight");
    EXPECT_TRUE(digests_.empty());
  }
}

TEST_F(Pipeline, PassesOnWhatItsCallerRaises) {
  std::filesystem::create_directory(folder_ / "out");
  const auto raise = [](std::size_t, const std::string&) {
    throw Error(ErrorCode::storage, "full");
  };
  EXPECT_EQ(code_of([&] { write_shards(laid_out_, folder_ / "out", {.jobs = 8}, raise); }),
            "storage");
}

TEST_F(Pipeline, NamesAnInputThatChanged) {
  std::filesystem::last_write_time(folder_ / "in.safetensors", std::filesystem::file_time_type{});
  EXPECT_EQ(code_of([&] { run({.jobs = 8}); }), "file_changed");
}

TEST_F(Pipeline, FingerprintsTellEverythingThatBytesDependOn) {
  InputIdentities inputs;
  const std::string print = fingerprint(laid_out_[0], inputs);
  EXPECT_EQ(fingerprint(lay_out(shards_[0]), inputs), print);
  EXPECT_NE(fingerprint(laid_out_[1], inputs), print) << "other metadata";
  for (PlannedTensor& tensor : shards_[0].tensors) {
    if (tensor.quantize != nullptr) tensor.scale = 0.02f;
  }
  EXPECT_NE(fingerprint(lay_out(shards_[0]), inputs), print) << "another scale";
  for (PlannedTensor& tensor : shards_[0].tensors) {
    if (tensor.quantize != nullptr) tensor.scale = kScale;
  }
  EXPECT_EQ(fingerprint(lay_out(shards_[0]), inputs), print);
  std::filesystem::last_write_time(folder_ / "in.safetensors", std::filesystem::file_time_type{});
  const SafetensorsFile again = SafetensorsFile::open(folder_ / "in.safetensors");
  PlannedShard other{.name = shards_[0].name, .metadata = shards_[0].metadata};
  for (const TensorInfo& tensor : again.tensors) add(tensor, other);
  EXPECT_NE(fingerprint(lay_out(other), inputs), print) << "an input of another time";
}

TEST(ResumeLog, KnowsFinishedShardsAndPassesOverWhatIsCutShort) {
  const TemporaryFolder folder;
  put_file(folder / "a", "content");
  put_file(folder / "b", "content");
  put_file(folder / "half", "con");
  {
    ResumeLog log(folder.path().string());
    log.add("a", "print a", "digest a");
    log.add("b", "print b", "digest b");
  }
  const std::string text = get_file(folder / kResumeLogName);
  put_file(folder / kResumeLogName, text + R"({"name": "half", "finge)");
  {
    ResumeLog log(folder.path().string());
    log.add("half", "print half", "digest half");
  }
  ResumeLog log(folder.path().string());
  ASSERT_NE(log.find("a", "print a"), nullptr);
  EXPECT_EQ(*log.find("a", "print a"), "digest a");
  EXPECT_EQ(log.find("a", "another"), nullptr);
  EXPECT_NE(log.find("half", "print half"), nullptr) << "a line that follows one cut short counts";
  log.keep_only({"a"});
  EXPECT_TRUE(std::filesystem::exists(folder / "a"));
  EXPECT_FALSE(std::filesystem::exists(folder / "b"));
  log.remove();
  EXPECT_FALSE(std::filesystem::exists(folder / kResumeLogName));
}

}  // namespace
}  // namespace ditq::test
