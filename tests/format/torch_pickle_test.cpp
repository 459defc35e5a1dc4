#include "format/torch_pickle.h"

#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "helpers.h"
#include "support/paths.h"

namespace ditq {
namespace {

using test::code_of;
using test::error_of;

std::string data_path(const std::string& name) {
  return test::data("format/" + name).string();
}

/// A tensor's elements in row-major order.
template <typename T>
std::vector<T> values_of(const PickleValue* value) {
  std::vector<T> out;
  if (value == nullptr || value->tensor() == nullptr) return out;
  const std::vector<std::byte> bytes = value->tensor()->read();
  out.resize(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

class TorchPickle : public testing::TestWithParam<int> {};

TEST_P(TorchPickle, ReadsTensorsOfEveryProtocol) {
  const PicklePtr root = read_torch_checkpoint(data_path(fmt::format("protocol{}.pt", GetParam())));
  std::vector<float> count(24);
  for (std::size_t i = 0; i < count.size(); ++i) count[i] = static_cast<float>(i);
  EXPECT_EQ(values_of<float>(root->find("whole")), count);
  EXPECT_EQ(root->find("whole")->tensor()->shape, (Shape{4, 6}));
  EXPECT_EQ(root->find("whole")->tensor()->storage.dtype, Dtype::f32);

  const TorchTensor* transposed = root->find("transposed")->tensor();
  EXPECT_EQ(transposed->shape, (Shape{6, 4}));
  EXPECT_EQ(transposed->strides, (std::vector<std::int64_t>{1, 6}));
  std::vector<float> columns;
  for (std::size_t column = 0; column < 6; ++column) {
    for (std::size_t row = 0; row < 4; ++row) columns.push_back(count[row * 6 + column]);
  }
  EXPECT_EQ(values_of<float>(root->find("transposed")), columns);
  EXPECT_EQ(values_of<float>(root->find("row")), (std::vector<float>{12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(values_of<float>(root->find("corner")), (std::vector<float>{8, 9, 10, 14, 15, 16}));
  EXPECT_EQ(root->find("row")->tensor()->storage.name, transposed->storage.name)
      << "views share their storage";

  EXPECT_EQ(values_of<std::uint16_t>(root->find("scalar")), (std::vector<std::uint16_t>{0xbfc0}));
  EXPECT_TRUE(root->find("scalar")->tensor()->shape.empty());
  EXPECT_EQ(root->find("empty")->tensor()->shape, (Shape{0, 3}));
  EXPECT_TRUE(root->find("empty")->tensor()->read().empty());
  EXPECT_EQ(values_of<float>(root->find("parameter")), (std::vector<float>{3, 4}));
  EXPECT_EQ(values_of<float>(root->find("attributes")), (std::vector<float>{1, 1}));
  EXPECT_EQ(values_of<std::int64_t>(root->find("i64")),
            (std::vector<std::int64_t>{-1, std::int64_t{1} << 40}));
  EXPECT_EQ(values_of<std::uint8_t>(root->find("bool")), (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(values_of<float>(root->find("module")->find("weight")), std::vector<float>(4, 0.5F));
}

TEST_P(TorchPickle, ReadsTensorsOnUntypedStorages) {
  const PicklePtr root = read_torch_checkpoint(data_path(fmt::format("protocol{}.pt", GetParam())));
  const TorchTensor* f8 = root->find("f8")->tensor();
  EXPECT_EQ(f8->storage.dtype, Dtype::f8_e4m3);
  EXPECT_EQ(values_of<std::uint8_t>(root->find("f8")),
            (std::vector<std::uint8_t>{0x38, 0xc0, 0x7e}));  // 1, -2, 448
  EXPECT_EQ(root->find("u16")->tensor()->storage.dtype, Dtype::u16);
  EXPECT_EQ(root->find("u16")->tensor()->storage.shape, (Shape{2}));
  EXPECT_EQ(values_of<std::uint16_t>(root->find("u16")), (std::vector<std::uint16_t>{1, 65535}));
  EXPECT_EQ(values_of<std::uint8_t>(root->find("storage")), (std::vector<std::uint8_t>{1, 2, 3}));
}

TEST_P(TorchPickle, RefusesToUnfoldAnExpandedView) {
  const PicklePtr root = read_torch_checkpoint(data_path(fmt::format("protocol{}.pt", GetParam())));
  const TorchTensor* expanded = root->find("expanded")->tensor();
  EXPECT_EQ(expanded->strides, (std::vector<std::int64_t>{0}));
  EXPECT_EQ(expanded->elements(), 3U);
  EXPECT_EQ(code_of([&] { expanded->read(); }), "unsupported");
}

TEST_P(TorchPickle, ReadsPlainData) {
  const PicklePtr root = read_torch_checkpoint(data_path(fmt::format("protocol{}.pt", GetParam())));
  const PickleValue* plain = root->find("plain");
  ASSERT_NE(plain, nullptr);
  const auto is = [&](const char* key, auto expected) {
    const PickleValue* value = plain->find(key);
    const auto* held = value == nullptr ? nullptr : std::get_if<decltype(expected)>(&value->data);
    return held != nullptr && *held == expected;
  };
  EXPECT_TRUE(is("none", std::monostate{}));
  EXPECT_TRUE(is("true", true));
  EXPECT_TRUE(is("false", false));
  EXPECT_TRUE(is("int", std::int64_t{-5}));
  EXPECT_TRUE(is("wide", std::int64_t{1} << 40));
  EXPECT_TRUE(is("negative", -(std::int64_t{1} << 40)));
  EXPECT_TRUE(is("float", 0.1));
  EXPECT_TRUE(is("text", std::string("é")));
  EXPECT_TRUE(is("bytes", std::string("\0\xff", 2)));
  EXPECT_TRUE(is("dtype", std::string("torch.bfloat16")));
  EXPECT_TRUE(is("device", std::string("cuda:1")));
  EXPECT_EQ(plain->find("list")->list()->size(), 2U);
  EXPECT_EQ(plain->find("tuple")->list()->size(), 4U);
  EXPECT_EQ(plain->find("pair")->list()->size(), 2U);
  EXPECT_TRUE(plain->find("nothing")->list()->empty());
  EXPECT_EQ(plain->find("set")->list()->size(), 1U);
  EXPECT_EQ(plain->find("frozen")->list()->size(), 1U);
  ASSERT_EQ(plain->find("size")->list()->size(), 2U);
  EXPECT_EQ(std::get<std::int64_t>(plain->find("size")->list()->at(1)->data), 6);
  EXPECT_EQ(std::get<std::int64_t>(plain->find("ordered")->find("a")->data), 1);
  EXPECT_EQ(plain->find("absent"), nullptr);
  EXPECT_EQ(plain->find("int")->find("absent"), nullptr);
}

TEST_P(TorchPickle, KeepsTheOrderOfADict) {
  const PicklePtr root = read_torch_checkpoint(data_path(fmt::format("protocol{}.pt", GetParam())));
  ASSERT_GE(root->dict()->size(), 3U);
  EXPECT_EQ(*root->dict()->at(0).first->string(), "whole");
  EXPECT_EQ(*root->dict()->at(1).first->string(), "transposed");
  EXPECT_EQ(*root->dict()->back().first->string(), "storage");
}

INSTANTIATE_TEST_SUITE_P(Protocols, TorchPickle, testing::Values(2, 3, 4, 5));

/// Every `_amax` of a ModelOpt checkpoint equals the number beside it.
void expect_amax(const std::string& checkpoint, const std::string& amax) {
  const PicklePtr root = read_torch_checkpoint(checkpoint);
  const PickleValue* state = root->find("model_state_dict");
  ASSERT_NE(state, nullptr) << checkpoint;
  ASSERT_NE(root->find("modelopt_state"), nullptr);
  const Json numbers = read_json(amax);
  std::size_t compared = 0;
  for (const auto& [name, expected] : numbers.items()) {
    const PickleValue* value = state->find(name);
    ASSERT_NE(value, nullptr) << name;
    ASSERT_NE(value->tensor(), nullptr) << name;
    if (!expected.is_number()) continue;  // amax of several elements
    const std::vector<std::byte> bytes = value->tensor()->read();
    float number = 0;
    if (value->tensor()->storage.dtype == Dtype::bf16) {
      ASSERT_EQ(bytes.size(), 2U) << name;
      std::memcpy(reinterpret_cast<char*>(&number) + 2, bytes.data(), 2);
    } else {
      ASSERT_EQ(bytes.size(), 4U) << name;
      std::memcpy(&number, bytes.data(), 4);
    }
    EXPECT_EQ(static_cast<double>(number), expected.get<double>()) << name;
    ++compared;
  }
  EXPECT_GT(compared, 20U) << checkpoint;
}

TEST(TorchCheckpoint, ReadsAModelOptCheckpoint) {
  expect_amax(test::data("convert/flux1-tiny-mha/checkpoint.pt").string(),
              data_path("modelopt-fp8.amax.json"));
}

TEST(TorchCheckpoint, ReadsEveryGoldenCheckpoint) {
  const auto root = test::golden("golden");
  if (!root) GTEST_SKIP() << "no larger goldens: set DITQ_TEST_DATA";
  std::size_t read = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*root)) {
    if (entry.path().extension() != ".pt") continue;
    const auto amax = entry.path().parent_path() / "amax.json";
    if (std::filesystem::exists(amax)) {
      expect_amax(entry.path().string(), amax.string());
    } else {
      EXPECT_NE(read_torch_checkpoint(entry.path().string())->find("model_state_dict"), nullptr);
    }
    ++read;
  }
  EXPECT_GE(read, 15U);
}

TEST(TorchCheckpoint, NamesTheCodeThatAPickleWouldCall) {
  const auto error = error_of([] { read_torch_checkpoint(data_path("attack.pt")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::pickle_global);
  EXPECT_NE(error->sentence().find("'posix.system'"), std::string::npos) << error->sentence();
  EXPECT_FALSE(std::filesystem::exists("pwned"));
}

TEST(TorchCheckpoint, NamesWhatIsNoPlainData) {
  const auto sentence = [](const char* file) {
    const auto error = error_of([&] { read_torch_checkpoint(data_path(file)); });
    return error ? fmt::format("{}: {}", name(error->code()), error->sentence()) : "ok";
  };
  EXPECT_EQ(
      sentence("module.pt"),
      "pickle_global: pickle: it names 'torch.nn.modules.linear.Linear', which is not plain data");
  EXPECT_EQ(sentence("class.pt"),
            "pickle_global: pickle: it names '__main__.MyDict', which is not plain data");
  EXPECT_EQ(sentence("complex128.pt").substr(0, 13), "unknown_dtype");
  EXPECT_EQ(sentence("quantized.pt").substr(0, 13), "pickle_global");
  EXPECT_EQ(sentence("conjugate.pt").substr(0, 11), "unsupported");
}

TEST(TorchCheckpoint, SaysThatTorchScriptIsNotRead) {
  const auto error = error_of([] { read_torch_checkpoint(data_path("torchscript.pt")); });
  ASSERT_TRUE(error);
  EXPECT_NE(error->facts().advice.find("TorchScript"), std::string::npos) << error->what();
}

TEST(TorchCheckpoint, SaysHowToSaveALegacyFileAgain) {
  const auto error = error_of([] { read_torch_checkpoint(data_path("legacy.pt")); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::zip_structure);
  EXPECT_NE(error->sentence().find("before 1.6"), std::string::npos);
  EXPECT_NE(error->facts().advice.find("torch.save"), std::string::npos);
}

TEST(TorchCheckpoint, NamesAMissingFile) {
  EXPECT_EQ(code_of([] { read_torch_checkpoint("/nowhere/backbone.pt"); }), "file_not_found");
}

}  // namespace
}  // namespace ditq
