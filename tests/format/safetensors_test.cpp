#include "format/safetensors.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "helpers.h"
#include "support/paths.h"

namespace ditq {
namespace {

using test::bytes_of;
using test::code_of;
using test::error_of;
using test::get_file;
using test::put_file;
using test::safetensors_bytes;
using test::text_of;

constexpr Dtype kAllDtypes[] = {
    Dtype::boolean,     Dtype::f4,      Dtype::f6_e2m3, Dtype::f6_e3m2, Dtype::u8,
    Dtype::i8,          Dtype::f8_e5m2, Dtype::f8_e4m3, Dtype::f8_e8m0, Dtype::f8_e4m3fnuz,
    Dtype::f8_e5m2fnuz, Dtype::i16,     Dtype::u16,     Dtype::f16,     Dtype::bf16,
    Dtype::i32,         Dtype::u32,     Dtype::f32,     Dtype::c64,     Dtype::f64,
    Dtype::i64,         Dtype::u64};

std::string dtypes_path() {
  return test::data("format/dtypes.safetensors").string();
}

// ---- reader -------------------------------------------------------------------------------------

TEST(Safetensors, ReadsEveryDtypeOfTheOfficialWriter) {
  const SafetensorsFile file = SafetensorsFile::open(dtypes_path());
  // Names and first bytes as tests/data/format/make.py writes them: tensor number i holds i, i+1, …
  const std::pair<const char*, Dtype> expected[] = {
      {"uint8", Dtype::u8},
      {"int8", Dtype::i8},
      {"int16", Dtype::i16},
      {"uint16", Dtype::u16},
      {"int32", Dtype::i32},
      {"uint32", Dtype::u32},
      {"int64", Dtype::i64},
      {"uint64", Dtype::u64},
      {"float16", Dtype::f16},
      {"bfloat16", Dtype::bf16},
      {"float32", Dtype::f32},
      {"float64", Dtype::f64},
      {"complex64", Dtype::c64},
      {"float8_e4m3fn", Dtype::f8_e4m3},
      {"float8_e5m2", Dtype::f8_e5m2},
      {"float8_e8m0fnu", Dtype::f8_e8m0},
      {"float8_e4m3fnuz", Dtype::f8_e4m3fnuz},
      {"float8_e5m2fnuz", Dtype::f8_e5m2fnuz},
  };
  unsigned number = 1;
  for (const auto& [name, dtype] : expected) {
    const TensorInfo* tensor = file.find(fmt::format("t.{}", name));
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->dtype, dtype) << name;
    EXPECT_EQ(tensor->shape, (Shape{2, 3})) << name;
    ASSERT_EQ(tensor->size, 6 * bits(dtype) / 8) << name;
    const Bytes bytes = tensor->bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_EQ(std::to_integer<unsigned>(bytes[i]), (number + i) % 256) << name;
    }
    ++number;
  }
  EXPECT_EQ(file.find("t.bool")->dtype, Dtype::boolean);
  EXPECT_EQ(text_of(file.find("t.bool")->bytes()), std::string_view("\0\1\0\1\0\1", 6));
}

TEST(Safetensors, CountsElementsOfLessThanAByte) {
  // torch's float4_e2m1fn_x2 of shape [2, 3] holds two values a byte.
  const SafetensorsFile file = SafetensorsFile::open(dtypes_path());
  const TensorInfo* tensor = file.find("t.float4_e2m1fn_x2");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, Dtype::f4);
  EXPECT_EQ(tensor->shape, (Shape{2, 6}));
  EXPECT_EQ(tensor->elements(), 12U);
  EXPECT_EQ(tensor->size, 6U);
}

TEST(Safetensors, ReadsScalarsEmptyTensorsAndEscapedNames) {
  const SafetensorsFile file = SafetensorsFile::open(dtypes_path());
  const TensorInfo* scalar = file.find("a scalar");
  ASSERT_NE(scalar, nullptr);
  EXPECT_TRUE(scalar->shape.empty());
  EXPECT_EQ(scalar->elements(), 1U);
  float value = 0;
  std::memcpy(&value, scalar->bytes().data(), sizeof(value));
  EXPECT_EQ(value, 2.5F);

  const TensorInfo* empty = file.find("empty");
  ASSERT_NE(empty, nullptr);
  EXPECT_EQ(empty->shape, (Shape{0, 4}));
  EXPECT_EQ(empty->elements(), 0U);
  EXPECT_TRUE(empty->bytes().empty());

  EXPECT_NE(file.find("é \"\\/\b\f\n\r\t\x01\x7f\u2028😀"), nullptr);
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(file.metadata.at("format"), "pt \"ü\"\n\x1f");
}

TEST(Safetensors, ReadsEveryGoldenFile) {
  const auto root = test::golden("golden");
  if (!root) GTEST_SKIP() << "no larger goldens: set DITQ_TEST_DATA";
  std::size_t read = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*root)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file = SafetensorsFile::open(entry.path().string());
    std::uint64_t size = 0;
    for (const TensorInfo& tensor : file.tensors) size += tensor.size;
    EXPECT_LT(size, entry.file_size()) << entry.path();
    ++read;
  }
  EXPECT_GT(read, 50U);
}

TEST(Safetensors, KeepsTheHeadersOrder) {
  const test::TemporaryFolder folder;
  put_file(folder / "f",
           safetensors_bytes(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                             "xy"));
  const SafetensorsFile file = SafetensorsFile::open(folder / "f");
  ASSERT_EQ(file.tensors.size(), 2U);
  EXPECT_EQ(file.tensors[0].name, "b");
  EXPECT_EQ(text_of(file.tensors[0].bytes()), "y");
  EXPECT_EQ(text_of(file.tensors[1].bytes()), "x");
}

TEST(Safetensors, ReadsAFileWithoutTensors) {
  const SafetensorsFile file =
      SafetensorsFile::open(test::data("format/no-tensor.safetensors").string());
  EXPECT_TRUE(file.tensors.empty());
  EXPECT_TRUE(file.metadata.empty());
}

TEST(Safetensors, NamesTensorFileExpectedAndFound) {
  const test::TemporaryFolder folder;
  put_file(folder / "f",
           safetensors_bytes(R"({"x.weight":{"dtype":"BF16","shape":[4,4],"data_offsets":[0,64]}})",
                             std::string(64, 'x')));
  const auto error = error_of([&] { SafetensorsFile::open(folder / "f"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::bad_offsets);
  EXPECT_EQ(error->facts().path, folder / "f");
  EXPECT_EQ(error->facts().tensor, "x.weight");
  EXPECT_EQ(error->facts().expected, "32 bytes for BF16 of shape [4, 4]");
  EXPECT_EQ(error->facts().found, "64 bytes at [0, 64)");
}

TEST(Safetensors, SaysWhatAnotherFormatIs) {
  const auto hostile = test::source_dir() / "tests/hostile";
  const auto advice = [&](const char* name) {
    const auto error = error_of([&] { SafetensorsFile::open((hostile / name).string()); });
    return error ? error->facts().advice : "";
  };
  EXPECT_NE(advice("header_too_large--zip-archive.safetensors").find("torch.save"),
            std::string::npos);
  EXPECT_NE(advice("header_too_large--git-lfs-pointer.safetensors").find("git lfs pull"),
            std::string::npos);
}

TEST(Safetensors, NamesAMissingFile) {
  EXPECT_EQ(code_of([] { SafetensorsFile::open("/nowhere/x.safetensors"); }), "file_not_found");
}

TEST(Safetensors, RefusesAHeaderBeyondTheLimitOfTheFormat) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "f";
  const std::uint64_t length = kMaxSafetensorsHeader + 1;
  put_file(path, {reinterpret_cast<const char*>(&length), sizeof(length)});
  std::filesystem::resize_file(path, 8 + length);
  const auto error = error_of([&] { SafetensorsFile::open(path); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::header_too_large);
  EXPECT_EQ(error->facts().expected, "at most 100000000 bytes");
}

/// Kilobytes of the process's mapped files that are in memory.
std::uint64_t resident_file_pages() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stoull(line.substr(8));
  }
  return 0;
}

TEST(Safetensors, OpeningTouchesNoTensorData) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "sparse.safetensors";
  constexpr std::uint64_t kSize = std::uint64_t{1} << 40;  // sparse: a terabyte of holes
  const std::string header =
      fmt::format(R"({{"a":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}})", kSize);
  put_file(path, safetensors_bytes(header, ""));
  std::error_code status;
  std::filesystem::resize_file(path, 8 + header.size() + kSize, status);
  if (status) GTEST_SKIP() << "the file system takes no sparse file of 1 TiB";
  const std::uint64_t before = resident_file_pages();
  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.tensors.at(0).size, kSize);
  // A megabyte of code pages may come in meanwhile; tensor data would be orders of magnitude more.
  EXPECT_LT(resident_file_pages(), before + 4096);
}

// ---- writer -------------------------------------------------------------------------------------

/// What write_safetensors needs to write a file again.
std::vector<TensorData> tensors_of(const SafetensorsFile& file) {
  std::vector<TensorData> out;
  for (const TensorInfo& tensor : file.tensors) {
    out.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes()});
  }
  return out;
}

TEST(Safetensors, WritesWhatTheOfficialWriterWrites) {
  const test::TemporaryFolder folder;
  for (const char* name : {"dtypes.safetensors", "no-tensor.safetensors"}) {
    const std::string official = test::data("format/" + std::string(name)).string();
    const SafetensorsFile file = SafetensorsFile::open(official);
    std::vector<TensorData> tensors = tensors_of(file);
    std::mt19937 random(3);
    std::shuffle(tensors.begin(), tensors.end(), random);
    write_safetensors(folder / name, tensors, file.metadata);
    EXPECT_EQ(get_file(folder / name), get_file(official)) << name;
  }
}

TEST(Safetensors, OrdersTypesAsUpstreamAndThenNames) {
  const test::TemporaryFolder folder;
  std::vector<TensorToWrite> tensors;
  for (const Dtype dtype : kAllDtypes) {
    tensors.push_back({.name = fmt::format("z{}", name(dtype)), .dtype = dtype, .shape = {0}});
    tensors.push_back({.name = fmt::format("B{}", name(dtype)), .dtype = dtype, .shape = {0}});
  }
  const SafetensorsWriter writer(folder / "f", tensors, {});
  ASSERT_EQ(writer.order().size(), tensors.size());
  for (std::size_t i = 0; i < std::size(kAllDtypes); ++i) {
    const Dtype dtype = kAllDtypes[std::size(kAllDtypes) - 1 - i];
    EXPECT_EQ(writer.order()[2 * i].name, fmt::format("B{}", name(dtype)));
    EXPECT_EQ(writer.order()[2 * i + 1].name, fmt::format("z{}", name(dtype)));
  }
}

TEST(Safetensors, ReadsBackRandomTensorsOfAllDtypes) {
  const test::TemporaryFolder folder;
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> contents;
    std::vector<TensorData> tensors;
    std::map<std::string, std::string> metadata;
    for (unsigned i = 0; i < random() % 30; ++i) {
      const Dtype dtype = kAllDtypes[random() % std::size(kAllDtypes)];
      Shape shape(random() % 4);
      for (auto& extent : shape) extent = random() % 5;
      if (bits(dtype) % 8 != 0) shape.push_back(8);
      std::string content(*byte_size(dtype, shape), '\0');
      for (char& c : content) c = static_cast<char>(random());
      contents.push_back(std::move(content));
      tensors.push_back({fmt::format("t{}\"{}", random() % 1000, i), dtype, shape, {}});
      metadata[fmt::format("k{}", i)] = std::string(random() % 40, static_cast<char>(i + 1));
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].bytes = bytes_of(contents[i]);
    write_safetensors(folder / "f", tensors, metadata);
    const SafetensorsFile file = SafetensorsFile::open(folder / "f");
    ASSERT_EQ(file.tensors.size(), tensors.size());
    EXPECT_EQ(file.metadata, metadata);
    for (const TensorData& tensor : tensors) {
      const TensorInfo* read = file.find(tensor.name);
      ASSERT_NE(read, nullptr);
      EXPECT_EQ(read->dtype, tensor.dtype);
      EXPECT_EQ(read->shape, tensor.shape);
      EXPECT_EQ(text_of(read->bytes()), text_of(tensor.bytes));
    }
  }
}

TEST(Safetensors, PadsTheHeaderToEightBytes) {
  const test::TemporaryFolder folder;
  for (std::size_t length = 1; length < 10; ++length) {
    write_safetensors(folder / "f", {{std::string(length, 'n'), Dtype::u8, {1}, bytes_of("x")}},
                      {});
    const SafetensorsFile file = SafetensorsFile::open(folder / "f");
    EXPECT_EQ(file.tensors.at(0).offset % 8, 0U);
  }
}

TEST(Safetensors, WritesATensorInPieces) {
  const test::TemporaryFolder folder;
  const SafetensorsFile source = SafetensorsFile::open(dtypes_path());
  const TensorInfo& copied = *source.find("t.float32");
  SafetensorsWriter writer(folder / "f",
                           {{.name = "pieces", .dtype = Dtype::u8, .shape = {5}},
                            {.name = "copied", .dtype = copied.dtype, .shape = copied.shape}},
                           {});
  ASSERT_EQ(writer.order()[0].name, "copied");
  EXPECT_EQ(writer.order()[0].size, 24U);
  writer.write(copied.bytes().first(7));
  writer.write(copied.bytes().subspan(7));
  writer.write(bytes_of("he"));
  writer.write(bytes_of("llo"));
  writer.close();
  const SafetensorsFile file = SafetensorsFile::open(folder / "f");
  EXPECT_EQ(text_of(file.find("copied")->bytes()), text_of(copied.bytes()));
  EXPECT_EQ(text_of(file.find("pieces")->bytes()), "hello");
}

TEST(Safetensors, FollowsTheUmask) {
  const test::TemporaryFolder folder;
  const mode_t old = ::umask(0027);
  write_safetensors(folder / "f", {}, {});
  ::umask(old);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST(Safetensors, RefusesToWriteWhatCannotBeRead) {
  const test::TemporaryFolder folder;
  const auto write = [&](std::vector<TensorToWrite> tensors,
                         std::map<std::string, std::string> metadata = {}) {
    return code_of([&] { SafetensorsWriter(folder / "f", tensors, metadata); });
  };
  const TensorToWrite good{.name = "a", .dtype = Dtype::u8, .shape = {1}};
  EXPECT_EQ(write({good, good}), "duplicate_tensor");
  EXPECT_EQ(write({{.name = "__metadata__", .dtype = Dtype::u8, .shape = {1}}}),
            "duplicate_tensor");
  EXPECT_EQ(write({{.name = "a", .dtype = Dtype::f4, .shape = {3}}}), "bad_shape");
  EXPECT_EQ(write({{.name = "a", .dtype = Dtype::u8, .shape = {-1}}}), "bad_shape");
  EXPECT_EQ(write({{.name = "a", .dtype = Dtype::u8, .shape = {1LL << 62, 8}}}), "bad_shape");
  EXPECT_EQ(write({{.name = "\xff", .dtype = Dtype::u8, .shape = {1}}}), "header_syntax");
  EXPECT_EQ(write({good}, {{"k", "\xff"}}), "header_syntax");
  EXPECT_EQ(write({good}, {{"\xff", "v"}}), "header_syntax");
  EXPECT_EQ(write({good}, {{"k", std::string(kMaxSafetensorsHeader, 'v')}}), "header_too_large");
  EXPECT_FALSE(std::filesystem::exists(folder / "f"));
}

TEST(Safetensors, NamesATargetThatCannotBeWritten) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(code_of([&] { write_safetensors(folder / "no/folder/f", {}, {}); }), "storage");
}

TEST(SafetensorsDeathTest, StopsWhenBytesAreMissingOrTooMany) {
  const test::TemporaryFolder folder;
  const std::vector<TensorToWrite> one{{.name = "a", .dtype = Dtype::u8, .shape = {2}}};
  SafetensorsWriter writer(folder / "f", one, {});
  EXPECT_DEATH(writer.write(bytes_of("abc")), "");
  EXPECT_DEATH(writer.close(), "");
}

}  // namespace
}  // namespace ditq
