// Torch checkpoints: what is written reads back, and builders take it for ModelOpt's.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "convert/build_fp8.h"
#include "format/pickle_writer.h"
#include "format/torch_pickle.h"
#include "format/torch_writer.h"
#include "format/zip_writer.h"
#include "ptq/calibration_state.h"
#include "ptq/golden_export.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

fs::path bundled_state() {
  return tiny_flux_fp8() / "transformer.small.pt";
}

QuantizeRequest checkpoint_request(const TemporaryFolder& folder) {
  QuantizeRequest request =
      restore_request("flux-dev", tiny_flux(), "tiny-flux", bundled_state(), "");
  request.torch_folder = folder / "ck";
  return request;
}

TEST(TorchWriter, WritesWhatTheReaderReads) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.pt";
  const std::vector<TorchTensorToWrite> tensors = {{Dtype::bf16, {2, 3}}, {Dtype::f32, {}}};
  const PickleItem root = PickleItem::Dict{
      {{"text", "a\u00e9"},
       {"numbers", PickleItem::List{{0, 255, 256, 65536, -1, std::int64_t{1} << 40, 0.1}}},
       {"nothing", {}},
       {"flags", PickleItem::Tuple{{true, false}}},
       {"matrix", torch_tensor(0, tensors[0])},
       {"scalar", torch_tensor(1, tensors[1])},
       {"dtype", torch_dtype(Dtype::bf16)},
       {"size", torch_size({7, 8})}}};
  write_torch_file(path, root, tensors, [](std::size_t index, const ByteSink& sink) {
    sink(std::vector<std::byte>(index == 0 ? 12 : 4, std::byte{static_cast<unsigned char>(index)}));
  });
  const PicklePtr read = read_torch_checkpoint(path);
  EXPECT_EQ(*read->find("text")->string(), "a\u00e9");
  const auto& numbers = *read->find("numbers")->list();
  EXPECT_EQ(std::get<std::int64_t>(numbers[3]->data), 65536);
  EXPECT_EQ(std::get<std::int64_t>(numbers[4]->data), -1);
  EXPECT_EQ(std::get<std::int64_t>(numbers[5]->data), std::int64_t{1} << 40);
  EXPECT_EQ(std::get<double>(numbers[6]->data), 0.1);
  EXPECT_EQ(read->find("matrix")->tensor()->shape, (Shape{2, 3}));
  EXPECT_EQ(read->find("matrix")->tensor()->strides, (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(read->find("scalar")->tensor()->read(), std::vector<std::byte>(4, std::byte{1}));
  EXPECT_EQ(*read->find("dtype")->string(), "torch.bfloat16");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(TorchWriter, LeavesNothingBehindAnError) {
  const TemporaryFolder folder;
  const std::vector<TorchTensorToWrite> tensors = {{Dtype::f32, {1}}};
  EXPECT_THROW(
      write_torch_file(folder / "x.pt", torch_tensor(0, tensors[0]), tensors,
                       [](std::size_t, const ByteSink&) { throw Error(ErrorCode::storage, "no"); }),
      Error);
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_THROW(torch_tensor(0, {Dtype::f8_e4m3, {1}}), Error);
}

TEST(TorchWriter, CountsMoreEntriesThanSixteenBits) {
  const TemporaryFolder folder;
  const std::vector<TorchTensorToWrite> tensors(66'000, {Dtype::u8, {1}});
  PickleItem::List list;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    list.items.push_back(torch_tensor(i, tensors[i]));
  }
  write_torch_file(folder / "x.pt", std::move(list), tensors,
                   [](std::size_t i, const ByteSink& sink) {
                     sink(std::vector<std::byte>{static_cast<std::byte>(i % 256)});
                   });
  const PicklePtr read = read_torch_checkpoint(folder / "x.pt");
  EXPECT_EQ(read->list()->back()->tensor()->read(),
            std::vector<std::byte>{static_cast<std::byte>(65'999 % 256)});
}

TEST(TorchCheckpoint, RestoresToTheSameExport) {
  const TemporaryFolder folder;
  QuantizeRequest request = checkpoint_request(folder);
  request.torch_name = "backbone";
  quantize(request);
  quantize(restore_request("flux-dev", tiny_flux(), "tiny-flux", folder / "ck/backbone.pt",
                           folder / "hf"));
  EXPECT_THAT(tensor_differences(folder / "hf/transformer", tiny_flux_fp8() / "transformer"),
              testing::IsEmpty());
  EXPECT_EQ(resolve_state(folder / "ck", "transformer"), folder / "ck/backbone.pt");
}

TEST(TorchCheckpoint, HasTheFlagsOfTheRecordedOne) {
  const TemporaryFolder folder;
  quantize(checkpoint_request(folder));
  const CalibrationState ours = CalibrationState::open(folder / "ck/transformer.pt");
  const CalibrationState theirs = CalibrationState::open(bundled_state().string());
  ASSERT_EQ(ours.recorded()->size(), theirs.recorded()->size());
  for (const auto& [name, quantizer] : *theirs.recorded()) {
    EXPECT_EQ(ours.recorded()->at(name).enabled, quantizer.enabled) << name;
    EXPECT_EQ(ours.recorded()->at(name).config, quantizer.config) << name;
  }
  for (const auto& [name, tensor] : theirs.tensors()) {
    ASSERT_NE(ours.find(name), nullptr) << name;
    EXPECT_TRUE(std::ranges::equal(ours.find(name)->bytes(), tensor->bytes())) << name;
  }
}

TEST(TorchCheckpoint, FeedsTheFp8BuilderLikeModelopts) {
  const TemporaryFolder folder;
  quantize(checkpoint_request(folder));
  const auto build = [&](const std::string& checkpoint, const std::string& output) {
    return build_fp8({.modelopt_hf_dir = (tiny_flux_fp8() / "transformer").string(),
                      .modelopt_backbone_ckpt = checkpoint,
                      .output_dir = output,
                      .base_transformer_dir = tiny_flux().string()});
  };
  const BuildFp8Statistics ours = build(folder / "ck/transformer.pt", folder / "ours");
  const BuildFp8Statistics theirs = build(bundled_state().string(), folder / "theirs");
  EXPECT_EQ(to_json_text(ours), to_json_text(theirs));
  EXPECT_THAT(tensor_differences(folder / "ours", folder / "theirs"), testing::IsEmpty());
}

}  // namespace
}  // namespace ditq::test
