// Every file of tests/hostile raises the error that its name begins with, and the error says where and what.

#include <algorithm>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/regex.h"
#include "config_file.h"
#include "convert/ignore_list.h"
#include "format/checkpoint_index.h"
#include "format/helpers.h"
#include "format/safetensors.h"
#include "format/torch_pickle.h"
#include "media/picture.h"
#include "perf/perf_file.h"
#include "prompts.h"
#include "quant/config.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using test::code_of;

void read_safetensors(const std::string& path) {
  for (const TensorInfo& tensor : SafetensorsFile::open(path).tensors) {
    ASSERT_EQ(tensor.bytes().size(), tensor.size);
  }
}

void read_config(const std::string& path) {
  const QuantConfig config = parse_quant_config(read_json(path), path);
  IgnoreList(config.ignore, path).matches({"proj_out"});
}

/// The tokenizer of a folder that holds this one file, under the name that folders give it.
void read_tokenizer(const std::string& path, const std::string& name) {
  const test::TemporaryFolder folder;
  test::put_file(folder / name, test::get_file(path));
  try {
    load_tokenizer(folder.path().string())->encode("a cat", 0, false);
  } catch (const Error& error) {
    ErrorFacts facts = error.facts();
    EXPECT_EQ(facts.path.find(folder.path().string()), 0U) << error.what();
    facts.path = path;
    throw Error(error.code(), error.sentence(), facts);
  }
}

/// A pattern and, behind a line "----", the text it is held against.
void match_pattern(const std::string& path) {
  const std::string both = test::get_file(path);
  const std::string cut = "\n----\n";
  const std::size_t at = both.find(cut);
  ASSERT_NE(at, std::string::npos);
  const Regex regex(both.substr(0, at));
  regex.search(both.substr(at + cut.size()));
}

void read_flags(const std::string& path) {
  FlagNames names;
  names.forms["width"] = {.name = "width", .kind = FlagKind::value};
  names.forms["keep-bf16-pattern"] = {.name = "keep-bf16-pattern", .kind = FlagKind::list};
  names.forms["overwrite"] = {.name = "overwrite", .kind = FlagKind::boolean};
  config_arguments(path, names, {});
}

/// What reads a kind of file, by the end of its name.
struct Reader {
  std::string ending;
  std::function<void(const std::string& path)> read;
  std::set<std::string> codes;  ///< of which each has a file
};

const std::vector<Reader>& readers() {
  static const std::vector<Reader> kReaders{
      {".safetensors",
       read_safetensors,
       {"header_too_small", "header_too_large", "header_syntax", "json_too_deep",
        "duplicate_tensor", "unknown_dtype", "bad_shape", "bad_offsets"}},
      {".pt",
       [](const std::string& path) { read_torch_checkpoint(path); },
       {"zip_structure", "pickle_opcode", "pickle_global", "pickle_structure", "unsupported",
        "unknown_dtype", "bad_shape", "bad_offsets"}},
      {".index.json",
       [](const std::string& path) { read_checkpoint_index(path); },
       {"bad_index", "shard_outside", "json_syntax", "json_too_deep"}},
      {".config.json",
       read_config,
       {"json_type", "json_syntax", "json_too_deep", "wrong_quant_method", "bad_config"}},
      {".tokenizer.json",
       [](const std::string& path) { read_tokenizer(path, "tokenizer.json"); },
       {"bad_tokenizer"}},
      {".spiece.model",
       [](const std::string& path) { read_tokenizer(path, "spiece.model"); },
       {"bad_tokenizer"}},
      {".png", [](const std::string& path) { read_png(path); }, {"bad_picture"}},
      {".pattern", match_pattern, {"bad_pattern", "pattern_too_costly", "bad_text"}},
      {".prompts.json",
       [](const std::string& path) { read_prompts(path); },
       {"json_type", "json_syntax", "json_too_deep"}},
      {".perf.json",
       [](const std::string& path) { read_perf(path); },
       {"json_type", "json_syntax", "json_too_deep", "bad_config"}},
      {".prompts.txt", [](const std::string& path) { read_prompts(path); }, {}},
      {".yaml", read_flags, {"yaml_syntax", "json_type", "usage"}},
  };
  return kReaders;
}

struct HostileFile {
  std::string path, stem, code;
  const Reader* reader;

  std::string what() const {
    return stem.substr(code.size() + 2, stem.rfind(reader->ending) - code.size() - 2);
  }
  void read() const { reader->read(path); }
};

/// All of them; a file that no reader is known for fails.
std::vector<HostileFile> hostile_files() {
  std::vector<HostileFile> files;
  for (const auto& entry : fs::directory_iterator(test::source_dir() / "tests/hostile")) {
    const std::string stem = entry.path().filename().string();
    const std::size_t dashes = stem.find("--");
    if (dashes == std::string::npos) continue;
    const auto reader = std::find_if(readers().begin(), readers().end(),
                                     [&](const Reader& one) { return stem.ends_with(one.ending); });
    if (reader == readers().end()) {
      ADD_FAILURE() << "no reader for " << stem;
      continue;
    }
    files.push_back({entry.path().string(), stem, stem.substr(0, dashes), &*reader});
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.stem < b.stem; });
  return files;
}

TEST(Hostile, EveryFileRaisesTheErrorOfItsName) {
  const auto files = hostile_files();
  ASSERT_GT(files.size(), 250U);
  for (const HostileFile& file : files) {
    EXPECT_EQ(code_of([&] { file.read(); }), file.code) << file.stem;
  }
}

TEST(Hostile, EveryErrorNamesTheFileAndHoldsNoControlCharacter) {
  for (const HostileFile& file : hostile_files()) {
    const auto error = test::error_of([&] { file.read(); });
    if (!error) continue;
    const std::string message = error->what();
    if (file.reader->ending != ".pattern") {
      EXPECT_EQ(error->facts().path, file.path);
      EXPECT_NE(message.find(file.path), std::string::npos) << message;
    }
    const auto is_control = [](unsigned char c) {
      return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
    };
    EXPECT_TRUE(std::none_of(message.begin(), message.end(), is_control)) << file.stem;
  }
}

TEST(Hostile, EveryErrorOfAReaderHasAFile) {
  const auto files = hostile_files();
  for (const Reader& reader : readers()) {
    for (const std::string& code : reader.codes) {
      EXPECT_TRUE(std::any_of(
          files.begin(), files.end(),
          [&](const HostileFile& file) { return file.reader == &reader && file.code == code; }))
          << code << " of " << reader.ending;
    }
  }
}

TEST(Hostile, RefusedOpcodesAreNamed) {
  int seen = 0;
  for (const HostileFile& file : hostile_files()) {
    if (file.code != "pickle_opcode" || file.what() == "unknown-byte") continue;
    std::string opcode = file.what();
    std::transform(opcode.begin(), opcode.end(), opcode.begin(),
                   [](unsigned char c) { return std::toupper(c); });
    const auto error = test::error_of([&] { file.read(); });
    ASSERT_TRUE(error.has_value()) << file.stem;
    EXPECT_NE(std::string(error->what()).find("opcode " + opcode + " ("), std::string::npos)
        << error->what();
    ++seen;
  }
  EXPECT_EQ(seen, 27);
}

TEST(Hostile, RefusedGlobalsAreNamed) {
  int seen = 0;
  for (const HostileFile& file : hostile_files()) {
    const std::string names = "names-";
    if (file.code != "pickle_global" || !file.what().starts_with(names)) continue;
    std::string global = file.what().substr(names.size());
    if (global.starts_with("__builtin__")) global.replace(0, 11, "builtins");
    const auto error = test::error_of([&] { file.read(); });
    ASSERT_TRUE(error.has_value()) << file.stem;
    EXPECT_NE(std::string(error->what()).find("'" + global + "'"), std::string::npos)
        << error->what();
    ++seen;
  }
  EXPECT_EQ(seen, 9);
}

TEST(Hostile, HarmfulZipEntriesAreNamed) {
  for (const auto& [what, entry] :
       std::vector<std::pair<std::string, std::string>>{{"climbs-out", "r/../../.bashrc"},
                                                        {"absolute-name", "/etc/passwd"},
                                                        {"archive-in-the-archive", "r/more.zip"},
                                                        {"pickle-is-an-archive", "r/data.pkl"},
                                                        {"outside-the-folder", "s/code.py"},
                                                        {"bomb-of-deflated-zeros", "r/data.pkl"},
                                                        {"encrypted", "r/data.pkl"},
                                                        {"control-character", "r/\\x1b[2Jx"}}) {
    const std::string path =
        (test::source_dir() / "tests/hostile" / ("zip_structure--" + what + ".pt")).string();
    const auto error = test::error_of([&] { read_torch_checkpoint(path); });
    ASSERT_TRUE(error.has_value()) << what;
    EXPECT_NE(std::string(error->what()).find("'" + entry + "'"), std::string::npos)
        << error->what();
  }
}

}  // namespace
}  // namespace ditq
