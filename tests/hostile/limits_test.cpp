// The limits of docs/robustness.md, each at its value and one beyond. Those of the pickle machine stand in
// tests/format/pickle_machine_test.cpp.

#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/regex.h"
#include "config_file.h"
#include "convert/ignore_list.h"
#include "format/checkpoint_index.h"
#include "format/helpers.h"
#include "format/pickle_machine.h"
#include "format/safetensors.h"
#include "format/strict_json.h"
#include "format/torch_pickle.h"
#include "format/zip.h"
#include "media/picture.h"
#include "prompts.h"
#include "quant/config.h"
#include "support/paths.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/unigram.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using test::code_of;
using test::put_file;
using test::safetensors_bytes;

/// A folder for the files of one test.
class Limits : public testing::Test {
 protected:
  /// What a reader says about a file of this content.
  template <typename Read>
  std::string of(const std::string& name, std::string_view content, Read read) const {
    const std::string path = folder_ / name;
    put_file(path, content);
    return code_of([&] { read(path); });
  }
  std::string of_safetensors(const std::string& header) const {
    return of("x.safetensors", safetensors_bytes(header, ""),
              [](const std::string& path) { SafetensorsFile::open(path); });
  }
  std::string of_index(const std::string& text) const {
    return of("x.index.json", text, [](const std::string& path) { read_checkpoint_index(path); });
  }
  std::string of_prompts(const std::string& text) const {
    return of("x.txt", text, [](const std::string& path) { read_prompts(path); });
  }

  test::TemporaryFolder folder_;
};

std::string repeated(const std::string& text, std::size_t count) {
  std::string out;
  out.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

constexpr const char* kEmptyTensor = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";

std::string named(const std::string& name) {
  return fmt::format(R"({{"{}":{}}})", name, kEmptyTensor);
}

std::string many_tensors(std::size_t count) {
  std::string header = "{";
  for (std::size_t i = 0; i < count; ++i) {
    header += fmt::format(R"({}"{}":{})", i == 0 ? "" : ",", i, kEmptyTensor);
  }
  return header + "}";
}

TEST_F(Limits, TensorNames) {
  EXPECT_EQ(of_safetensors(named(std::string(kMaxTensorName, 'x'))), "ok");
  EXPECT_EQ(of_safetensors(named(std::string(kMaxTensorName + 1, 'x'))), "header_syntax");
}

TEST_F(Limits, Dimensions) {
  const auto header = [](std::size_t rank) {
    return R"({"a":{"dtype":"U8","shape":[0)" + repeated(",1", rank - 1) +
           R"(],"data_offsets":[0,0]}})";
  };
  EXPECT_EQ(of_safetensors(header(kMaxRank)), "ok");
  EXPECT_EQ(of_safetensors(header(kMaxRank + 1)), "bad_shape");
}

TEST_F(Limits, HeaderDepth) {
  const auto header = [](std::size_t depth) {
    return R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":)" +
           repeated("[", depth - 2) + repeated("]", depth - 2) + "}}";
  };
  EXPECT_EQ(of_safetensors(header(kMaxHeaderDepth - 1)), "ok");
  EXPECT_EQ(of_safetensors(header(kMaxHeaderDepth + 1)), "json_too_deep");
}

TEST_F(Limits, NumberOfTensors) {
  EXPECT_EQ(of_safetensors(many_tensors(100'000)), "ok");
  EXPECT_EQ(of_safetensors(many_tensors(kMaxSafetensorsTensors + 1)), "header_syntax");
}

TEST_F(Limits, HeaderLength) {
  // A file of holes: nothing of that size is written.
  const std::string path = folder_ / "x.safetensors";
  put_file(path, safetensors_bytes(std::string(8, ' '), ""));
  std::uint64_t length = kMaxSafetensorsHeader + 1;
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out)
      .write(reinterpret_cast<const char*>(&length), sizeof(length));
  fs::resize_file(path, 8 + length);
  EXPECT_EQ(code_of([&] { SafetensorsFile::open(path); }), "header_too_large");
}

TEST_F(Limits, NamesOfAnIndex) {
  const auto index = [](std::size_t tensor, std::size_t shard) {
    return fmt::format(R"({{"weight_map":{{"{}":"{}"}}}})", std::string(tensor, 't'),
                       std::string(shard, 's'));
  };
  EXPECT_EQ(of_index(index(kMaxTensorName, 255)), "ok");
  EXPECT_EQ(of_index(index(kMaxTensorName + 1, 1)), "bad_index");
  EXPECT_EQ(of_index(index(1, 256)), "shard_outside");
}

TEST_F(Limits, EntriesOfAnIndex) {
  std::string text = R"({"weight_map":{"t":"s")";
  for (std::size_t i = 1; i < kMaxSafetensorsTensors; ++i) text += fmt::format(R"(,"{}":"s")", i);
  EXPECT_EQ(of_index(text + "}}"), "ok");
  EXPECT_EQ(of_index(text + R"(,"u":"s"}})"), "bad_index");
}

TEST_F(Limits, IndexFiles) {
  constexpr std::size_t kMost = 100'000'000;
  std::string text = R"({"weight_map":{"t":"s"}})";
  text.resize(kMost, ' ');
  EXPECT_EQ(of_index(text), "ok");
  EXPECT_EQ(of_index(text + " "), "file_unreadable");
}

/// Little-endian fields: {value, bytes}.
std::string fields(std::initializer_list<std::pair<std::uint64_t, int>> values) {
  std::string out;
  for (const auto& [value, bytes] : values) {
    for (auto [rest, left] = std::pair(value, bytes); left > 0; --left, rest >>= 8)
      out += static_cast<char>(rest & 0xff);
  }
  return out;
}

/// What reading an archive of nothing but end records says: they announce `entries` in a directory of `size` zeros.
std::string said_of_directory(const std::string& path, std::uint64_t entries, std::uint64_t size) {
  constexpr std::uint64_t kElsewhere = 0xffffffff;
  put_file(path, "");
  fs::resize_file(path, size);  // a hole
  std::ofstream(path, std::ios::binary | std::ios::app)
      << fields({{0x06064b50, 4}, {44, 8}, {45, 4}, {0, 8}, {entries, 8}, {entries, 8}})
      << fields({{size, 8}, {0, 8}, {0x07064b50, 4}, {0, 4}, {size, 8}, {1, 4}})
      << fields({{0x06054b50, 4}, {0, 4}, {kElsewhere, 4}, {kElsewhere, 4}, {kElsewhere, 4}})
      << fields({{0, 2}});
  return test::error_of([&] { read_zip_directory(*InputFile::open(path)); })->what();
}

TEST_F(Limits, DirectoriesOfArchives) {
  using testing::HasSubstr;
  const std::string path = folder_ / "x.pt";
  EXPECT_THAT(said_of_directory(path, kMaxZipEntries, 0), HasSubstr("another number of entries"));
  EXPECT_THAT(said_of_directory(path, kMaxZipEntries + 1, 0), HasSubstr("too large"));
  EXPECT_THAT(said_of_directory(path, 1, kMaxZipDirectory), HasSubstr("damaged"));
  EXPECT_THAT(said_of_directory(path, 1, kMaxZipDirectory + 1), HasSubstr("too large"));
}

/// An archive of one entry.
std::string archive_of(const std::string& name, const std::string& data) {
  const std::string sizes = fields({{data.size(), 4}, {data.size(), 4}, {name.size(), 2}, {0, 2}});
  const std::string local = fields({{0x04034b50, 4}, {20, 2}, {0, 12}}) + sizes + name + data;
  const std::string central =
      fields({{0x02014b50, 4}, {20, 2}, {20, 2}, {0, 12}}) + sizes + fields({{0, 14}}) + name;
  return local + central +
         fields({{0x06054b50, 4}, {0, 4}, {1, 2}, {1, 2}, {central.size(), 4}, {local.size(), 4}}) +
         fields({{0, 2}});
}

TEST_F(Limits, Pickles) {
  const std::string path = folder_ / "x.pt";
  const auto pickle = [&](std::size_t size) {
    const std::string front = "\x80\x02X";
    std::string text(size - front.size() - 5, 'x');
    put_file(path, archive_of("x/data.pkl", front + fields({{text.size(), 4}}) + text + "."));
    return code_of([&] { read_torch_checkpoint(path); });
  };
  EXPECT_EQ(pickle(kMaxPickleBytes), "ok");
  EXPECT_EQ(pickle(kMaxPickleBytes + 1), "pickle_structure");
}

TEST_F(Limits, ConfigFiles) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  const auto config = [&](std::size_t size) {
    return of("x.json", R"({"seed":1})" + std::string(size - 10, ' '),
              [](const std::string& path) { read_config_file(path); });
  };
  EXPECT_EQ(config(kMost), "ok");
  EXPECT_EQ(config(kMost + 1), "file_unreadable");
}

TEST_F(Limits, JsonDocuments) {
  const auto nested = [](std::size_t depth) { return repeated("[", depth) + repeated("]", depth); };
  EXPECT_EQ(code_of([&] { parse_json(nested(kMaxJsonDepth), "x"); }), "ok");
  EXPECT_EQ(code_of([&] { parse_json(nested(kMaxJsonDepth + 1), "x"); }), "json_too_deep");
  const auto sized = [](std::size_t size) { return '"' + std::string(size - 2, 'x') + '"'; };
  EXPECT_EQ(code_of([&] { parse_json(sized(kMaxJsonBytes), "x"); }), "ok");
  EXPECT_EQ(code_of([&] { parse_json(sized(kMaxJsonBytes + 1), "x"); }), "json_too_large");
  const auto read = [](const std::string& path) { read_json(path); };
  EXPECT_EQ(of("x.json", sized(kMaxJsonBytes + 1), read), "json_too_large");
}

TEST_F(Limits, AnObjectOfManyMembersIsReadInLinearTime) {
  // Looking every key up among all before it would take minutes, and the test its time limit.
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format(R"("key{}":{},)", i, i);
  const Json document = parse_json(text + R"("key7":"last"})", "x");
  EXPECT_EQ(document.size(), 300'000U);
  EXPECT_EQ(document["key7"], "last");
  EXPECT_EQ(std::next(document.begin(), 7).key(), "key7");
}

TEST_F(Limits, Patterns) {
  EXPECT_EQ(code_of([] { Regex(std::string(kMaxPattern, 'a')); }), "ok");
  EXPECT_EQ(code_of([] { Regex(std::string(kMaxPattern + 1, 'a')); }), "bad_pattern");
  const Regex pattern("^.*b$");
  EXPECT_EQ(code_of([&] { pattern.search(std::string(kMaxMatchedText, 'a')); }), "ok");
  EXPECT_EQ(code_of([&] { pattern.search(std::string(kMaxMatchedText + 1, 'a')); }),
            "pattern_too_costly");
}

TEST_F(Limits, PatternsOfExportsMatchTheLongestRealNamesManyTimesOver) {
  // The longest published name has 84 bytes.
  const std::string name = "model.diffusion_model.language_model.transformer_blocks.47." +
                           repeated("submodule.", 30) + "attn.to_out.0.weight";
  for (const char* pattern : {R"(.*(attn|mlp).*(proj|to_out|fc).*)",
                              R"(^(?:model\.)?(.*)\.(\d+)\.(.*)\.(to_q|to_out\.0)\.weight$)",
                              R"(.*?blocks\.(4[0-9]|1\d)\..*attn.*)", R"([\w.]+\.weight)"}) {
    EXPECT_TRUE(Regex(pattern).full_match(name)) << pattern;
  }
}

TEST_F(Limits, IgnoreLists) {
  const auto config = [](std::size_t entries) {
    return Json{{"quant_method", "modelopt"},
                {"quant_algo", "FP8"},
                {"ignore", std::vector<std::string>(entries, "a")}};
  };
  EXPECT_EQ(code_of([&] { parse_quant_config(config(kMaxIgnoreEntries), "x"); }), "ok");
  EXPECT_EQ(code_of([&] { parse_quant_config(config(kMaxIgnoreEntries + 1), "x"); }), "bad_config");
  const auto list = [](std::size_t patterns) {
    IgnoreList(std::vector<std::string>(patterns, "a*"), "x");
  };
  EXPECT_EQ(code_of([&] { list(kMaxIgnorePatterns); }), "ok");
  EXPECT_EQ(code_of([&] { list(kMaxIgnorePatterns + 1); }), "bad_config");
}

TEST_F(Limits, Vocabularies) {
  const auto count = [](std::size_t tokens, std::size_t bytes) {
    VocabularyLimits limits("tokenizer.json");
    const std::string token(bytes, 'x');
    for (std::size_t i = 0; i < tokens; ++i) limits.add(token);
  };
  EXPECT_EQ(code_of([&] { count(kMaxVocabulary, 2); }), "ok");
  EXPECT_EQ(code_of([&] { count(kMaxVocabulary + 1, 2); }), "bad_tokenizer");
  EXPECT_EQ(code_of([&] { count(1, kMaxTokenBytes); }), "ok");
  EXPECT_EQ(code_of([&] { count(1, kMaxTokenBytes + 1); }), "bad_tokenizer");
  EXPECT_EQ(code_of([&] { count(kMaxVocabularyBytes / kMaxTokenBytes, kMaxTokenBytes); }), "ok");
  EXPECT_EQ(code_of([&] { count(kMaxVocabularyBytes / kMaxTokenBytes + 1, kMaxTokenBytes); }),
            "bad_tokenizer");
}

TEST_F(Limits, AddedTokens) {
  const auto config = [&](const char* key, const Json& value) {
    const std::string dir = folder_.path().string();
    put_file(dir + "/tokenizer_config.json", Json{{key, value}}.dump());
    return code_of([&] { read_tokenizer_config(dir); });
  };
  const auto most = static_cast<std::int64_t>(kMaxAddedTokens);
  EXPECT_EQ(config("extra_ids", most), "ok");
  EXPECT_EQ(config("extra_ids", most + 1), "bad_tokenizer");
  EXPECT_EQ(config("additional_special_tokens", std::vector<std::string>(kMaxAddedTokens, "x")),
            "ok");
  EXPECT_EQ(config("additional_special_tokens", std::vector<std::string>(kMaxAddedTokens + 1, "x")),
            "bad_tokenizer");
  Json decoder = Json::object();
  auto& members = decoder.get_ref<Json::object_t&>();
  for (std::size_t i = 0; i < kMaxAddedTokens; ++i) members.emplace_back(std::to_string(i), "x");
  EXPECT_EQ(config("added_tokens_decoder", decoder), "ok");
  members.emplace_back("x", "x");
  EXPECT_EQ(config("added_tokens_decoder", decoder), "bad_tokenizer");
}

TEST_F(Limits, LengthOfAnAddedToken) {
  EXPECT_EQ(code_of([] { check_added_token(std::string(kMaxAddedTokenBytes, 'x'), "x"); }), "ok");
  EXPECT_EQ(code_of([] { check_added_token(std::string(kMaxAddedTokenBytes + 1, 'x'), "x"); }),
            "bad_tokenizer");
}

TEST_F(Limits, TokenizerFiles) {
  fs::copy_file(test::tiny_flux() / "tokenizer/tokenizer.json", folder_.path() / "tokenizer.json");
  fs::resize_file(folder_.path() / "tokenizer.json", kMaxTokenizerFile + 1);
  EXPECT_EQ(code_of([&] { read_tokenizer_json(folder_ / "tokenizer.json"); }), "file_unreadable");
}

TEST_F(Limits, MembersOfATokenizer) {
  constexpr std::size_t kMost = 1000 + 1;  // "model" and its "vocab" are read into tables instead
  const Json tokenizer = read_json((test::tiny_flux() / "tokenizer_2/tokenizer.json").string());
  const auto read = [](const std::string& path) { read_tokenizer_json(path); };
  for (const char* inside : {"", "/model"}) {
    Json more = tokenizer;
    auto& members = more[Json::json_pointer(inside)].get_ref<Json::object_t&>();
    while (members.size() < kMost) members.emplace_back(std::to_string(members.size()), 0);
    EXPECT_EQ(of("tokenizer.json", more.dump(), read), "ok") << inside;
    members.emplace_back("x", 0);
    EXPECT_EQ(of("tokenizer.json", more.dump(), read), "bad_tokenizer") << inside;
  }
}

TEST_F(Limits, PromptText) {
  const auto tokenizer =
      load_clip_tokenizer((test::tiny_flux() / "tokenizer").string(), ClipTokenizerClass::slow);
  EXPECT_EQ(
      code_of([&] { tokenizer->encode(repeated("abcdefg ", kMaxPromptBytes / 8), 77, true); }),
      "ok");
  EXPECT_EQ(code_of([&] { tokenizer->encode(std::string(kMaxPromptBytes, 'a'), 77, true); }), "ok");
  EXPECT_EQ(code_of([&] { tokenizer->encode(std::string(kMaxPromptBytes + 1, 'a'), 77, true); }),
            "bad_text");
}

TEST_F(Limits, NormalizedText) {
  const Unigram model({{.text = "a", .score = -1.0}}, 0, ScorePrecision::f64, "tokenizer.json");
  std::vector<std::int64_t> ids;
  EXPECT_EQ(code_of([&] { model.encode(std::string(kMaxNormalizedBytes + 1, 'a'), ids); }),
            "bad_text");
  EXPECT_TRUE(ids.empty());
}

TEST_F(Limits, PromptsFiles) {
  EXPECT_EQ(of_prompts(std::string(kMaxPrompts, '\n')), "ok");
  EXPECT_EQ(of_prompts(std::string(kMaxPrompts + 1, '\n')), "bad_text");
  EXPECT_EQ(of_prompts(std::string(kMaxPromptsFile, 'a')), "ok");
  EXPECT_EQ(of_prompts(std::string(kMaxPromptsFile + 1, 'a')), "file_unreadable");
  const auto list = [&](std::size_t count) {
    return of("x.json", "[\"a\"" + repeated(",\"a\"", count - 1) + "]",
              [](const std::string& path) { read_prompts(path); });
  };
  EXPECT_EQ(list(kMaxPrompts), "ok");
  EXPECT_EQ(list(kMaxPrompts + 1), "bad_text");
}

TEST_F(Limits, PictureFiles) {
  const std::string path = folder_ / "x.png";
  put_file(path, "\x89PNG");
  fs::resize_file(path, kMaxPictureFile + 1);  // a hole
  EXPECT_EQ(code_of([&] { read_png(path); }), "bad_picture");
}

/// The header of a published model, with the sizes of its tensors, from a folded list of tests/data/family.
std::pair<std::string, std::uint64_t> published_header(const fs::path& list) {
  std::ifstream file(list);
  std::string header = "{", name, dtype, shape;
  std::uint64_t at = 0;
  const auto add = [&](const std::string& tensor) {
    Shape extents;
    std::istringstream stream(shape);
    for (std::string part; shape != "-" && std::getline(stream, part, 'x');)
      extents.push_back(std::stoll(part));
    const std::uint64_t end = at + *byte_size(*parse_dtype(dtype), extents);
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                          header == "{" ? "" : ",", tensor, dtype, to_string(extents), at, end);
    at = end;
  };
  while (file >> name >> dtype >> shape) {
    const std::size_t open = name.find('{');
    if (open == std::string::npos) {
      add(name);
      continue;
    }
    const std::size_t close = name.find('}');
    const int last = std::stoi(name.substr(name.find('-', open) + 1));
    for (int i = std::stoi(name.substr(open + 1)); i <= last; ++i) {
      add(name.substr(0, open) + std::to_string(i) + name.substr(close + 1));
    }
  }
  return {header + "}", at};
}

TEST_F(Limits, PublishedModelsAreFarBelow) {
  std::size_t models = 0;
  std::uint64_t largest = 0;
  for (const auto& entry : fs::directory_iterator(test::data("family"))) {
    if (entry.path().extension() != ".txt") continue;
    const auto [header, size] = published_header(entry.path());
    const std::string path = folder_ / "x.safetensors";
    put_file(path, safetensors_bytes(header, ""));
    fs::resize_file(path, 8 + header.size() + size);  // a hole as large as the weights
    const SafetensorsFile file = SafetensorsFile::open(path);
    EXPECT_LT(file.tensors.size() * 100, kMaxSafetensorsTensors) << entry.path();
    EXPECT_LT(header.size() * 100, kMaxSafetensorsHeader) << entry.path();
    for (const TensorInfo& tensor : file.tensors)
      EXPECT_LT(tensor.name.size() * 10, kMaxTensorName);
    largest = std::max(largest, size);
    ++models;
  }
  EXPECT_GE(models, 8U);
  EXPECT_GT(largest, 64'000'000'000U);  // FLUX.2-dev
}

}  // namespace
}  // namespace ditq
