// Tokenizer folders that cannot be right: each is refused with the file's name, none crashes.
#include <fstream>
#include <functional>
#include <memory>
#include <random>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/paths.h"
#include "text/golden.h"
#include "text/tokenizer.h"

namespace ditq {
namespace {

/// A copy of one of the bundled tokenizers whose files a test may spoil.
class Folder {
 public:
  Folder(const char* source, const std::vector<std::string>& names) {
    test::copy_files(test::tiny_flux() / source, folder_->path(), names);
  }

  std::string path() const { return folder_->path().string(); }
  std::string text(const std::string& name) const { return read_text(*folder_ / name); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(*folder_ / name, std::ios::binary) << text;
  }
  void remove(const std::string& name) const { std::filesystem::remove(folder_->path() / name); }
  void edit(const std::string& name, const std::function<void(Json&)>& change) const {
    Json document = read_json(*folder_ / name);
    change(document);
    write(name, document.dump());
  }

 private:
  std::unique_ptr<test::TemporaryFolder> folder_ = std::make_unique<test::TemporaryFolder>();
};

Folder clip_files() {
  return {"tokenizer", {"vocab.json", "merges.txt", "tokenizer_config.json"}};
}
Folder clip_json() {
  return {"tokenizer", {"tokenizer.json", "tokenizer_config.json"}};
}
Folder t5_json() {
  return {"tokenizer_2", {"tokenizer.json", "tokenizer_config.json"}};
}
Folder t5_spiece() {
  return {"tokenizer_2", {"spiece.model", "tokenizer_config.json"}};
}

/// Loading fails with `code`, and the message names what is wrong.
void expect_refused(const Folder& folder, ErrorCode code, const std::string& mention) {
  try {
    load_tokenizer(folder.path());
    FAIL() << "accepted; expected a message with: " << mention;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(mention), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(folder.path()), std::string::npos) << error.what();
    EXPECT_FALSE(error.facts().advice.empty() && code == ErrorCode::bad_tokenizer) << error.what();
  }
}

constexpr ErrorCode kBad = ErrorCode::bad_tokenizer;

TEST(BrokenTokenizer, MissingFilesAreNamed) {
  const Folder no_merges = clip_files();
  no_merges.remove("merges.txt");
  expect_refused(no_merges, ErrorCode::file_not_found, "vocab.json without merges.txt");
  const Folder no_vocab = clip_files();
  no_vocab.remove("vocab.json");
  expect_refused(no_vocab, ErrorCode::file_not_found, "merges.txt without vocab.json");
  const Folder no_t5 = t5_json();
  no_t5.remove("tokenizer.json");
  expect_refused(no_t5, ErrorCode::file_not_found, "tokenizer.json or spiece.model");
  const Folder empty("tokenizer", {});
  expect_refused(empty, ErrorCode::file_not_found, "no tokenizer in this folder");
}

TEST(BrokenTokenizer, AClassOfAnotherModelIsRefused) {
  const Folder folder = clip_files();
  folder.edit("tokenizer_config.json",
              [](Json& config) { config["tokenizer_class"] = "Qwen2Tokenizer"; });
  expect_refused(folder, kBad, "Qwen2Tokenizer");
}

TEST(BrokenTokenizer, VocabularyIdsHaveNoGapsAndNoDoubles) {
  const Folder gap = clip_files();
  gap.edit("vocab.json", [](Json& vocab) { vocab["a"] = 5000; });
  expect_refused(gap, kBad, "'a' with id 5000");
  const Folder negative = clip_files();
  negative.edit("vocab.json", [](Json& vocab) { vocab["a"] = -1; });
  expect_refused(negative, kBad, "'a' with id -1");
  const Folder twice = clip_files();
  twice.edit("vocab.json", [](Json& vocab) { vocab["a"] = vocab["b"]; });
  expect_refused(twice, kBad, "two tokens have one id");
  const Folder token_twice = clip_files();
  std::string text = token_twice.text("vocab.json");
  text.insert(text.find('{') + 1, "\"a\": 614, ");
  token_twice.write("vocab.json", text);
  expect_refused(token_twice, kBad, "'a'");
}

TEST(BrokenTokenizer, WrongJsonTypesAreRefused) {
  for (const char* text : {"[]", "3", "{\"a\": \"0\"}", "{\"a\": 0.5}", "{\"a\": null}", "", "{",
                           "{\"a\": 0} x", "{\"a\": 99999999999999999999}", "\xFF"}) {
    const Folder folder = clip_files();
    folder.write("vocab.json", text);
    expect_refused(folder, kBad, "vocab.json");
  }
  for (const char* text :
       {"{\"model\": []}", "{}", "[]", "{\"model\": {\"type\": \"BPE\"}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": [], \"merges\": []}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": {}}}"}) {
    const Folder folder = clip_json();
    folder.write("tokenizer.json", text);
    expect_refused(folder, kBad, "tokenizer.json");
  }
  const Folder config = clip_files();
  config.edit("tokenizer_config.json", [](Json& value) { value["eos_token"] = 3; });
  expect_refused(config, kBad, "tokenizer_config.json");
}

TEST(BrokenTokenizer, MergesBelongToTheVocabulary) {
  const Folder foreign = clip_files();
  foreign.write("merges.txt", foreign.text("merges.txt") + "zz qq\n");
  expect_refused(foreign, kBad, "'zz' 'qq'");
  const Folder result = clip_files();
  result.write("merges.txt", result.text("merges.txt") + "q q\n");
  expect_refused(result, kBad, "'qq'");
  const Folder three = clip_files();
  three.write("merges.txt", "#version: 0.2\na b c\n");
  expect_refused(three, kBad, "line 2");
  const Folder unversioned = clip_files();
  unversioned.write("merges.txt", "r o\n");
  expect_refused(unversioned, kBad, "#version");
  const Folder twice = clip_files();
  twice.write("merges.txt", "#version: 0.2\nr o\nr o\n");
  expect_refused(twice, kBad, "listed twice");
}

TEST(BrokenTokenizer, EveryByteAndSpecialTokenIsInTheVocabulary) {
  const auto without = [](const std::string& token) {
    Folder folder = clip_files();
    folder.write("merges.txt", "#version: 0.2\n");
    folder.edit("vocab.json", [&](Json& vocab) {
      // The last id moves into the gap, so that only the token is missing.
      const Json hole = vocab[token];
      const auto last = static_cast<std::int64_t>(vocab.size()) - 1;
      vocab.erase(token);
      for (auto& [key, id] : vocab.items()) {
        if (id == last) id = hole;
      }
    });
    return folder;
  };
  expect_refused(without("!"), kBad, "byte 0x21");
  expect_refused(without("a</w>"), kBad, "byte 0x61");
  expect_refused(without("<|endoftext|>"), kBad, "'<|endoftext|>'");
}

TEST(BrokenTokenizer, AddedTokensAgreeWithTheVocabulary) {
  const Folder other_id = clip_json();
  other_id.edit("tokenizer.json", [](Json& file) { file["added_tokens"][0]["id"] = 3; });
  expect_refused(other_id, kBad, "with id 612");
  const Folder gap = t5_json();
  gap.edit("tokenizer.json", [](Json& file) {
    file["added_tokens"].push_back({{"id", 200}, {"content", "<extra>"}});
  });
  expect_refused(gap, kBad, "leave a gap");
  const Folder single_word = t5_json();
  single_word.edit("tokenizer.json",
                   [](Json& file) { file["added_tokens"][0]["single_word"] = true; });
  expect_refused(single_word, kBad, "single_word");
}

TEST(BrokenTokenizer, OtherModelTypesAreRefused) {
  const Folder word_piece = t5_json();
  word_piece.edit("tokenizer.json", [](Json& file) { file["model"]["type"] = "WordPiece"; });
  expect_refused(word_piece, kBad, "WordPiece");
  const Folder bpe = t5_json();
  test::copy_files(test::tiny_flux() / "tokenizer", bpe.path(), {"tokenizer.json"});
  expect_refused(bpe, kBad, "not a T5 tokenizer");
  const Folder unigram = clip_json();
  test::copy_files(test::tiny_flux() / "tokenizer_2", unigram.path(), {"tokenizer.json"});
  expect_refused(unigram, kBad, "not a CLIP tokenizer");
}

TEST(BrokenTokenizer, StagesThatClipDoesNotHaveAreRefused) {
  const std::vector<std::pair<std::string, std::function<void(Json&)>>> changes{
      {"normalizer", [](Json& file) { file["normalizer"]["normalizers"].erase(0); }},
      {"normalizer", [](Json& file) { file["normalizer"] = nullptr; }},
      {"pre-tokenizer", [](Json& file) { file["pre_tokenizer"]["pretokenizers"].erase(1); }},
      {"pre-tokenizer",
       [](Json& file) { file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; }},
      {"pre-tokenizer",
       [](Json& file) { file["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }},
      {"end_of_word_suffix", [](Json& file) { file["model"].erase("end_of_word_suffix"); }},
      {"byte_fallback", [](Json& file) { file["model"]["byte_fallback"] = true; }},
      {"dropout", [](Json& file) { file["model"]["dropout"] = 0.1; }},
      {"post-processor", [](Json& file) { file["post_processor"] = nullptr; }},
      {"post-processor", [](Json& file) { file["post_processor"]["cls"][1] = 3; }},
  };
  for (const auto& [mention, change] : changes) {
    const Folder folder = clip_json();
    folder.edit("tokenizer.json", change);
    expect_refused(folder, kBad, mention);
  }
}

TEST(BrokenTokenizer, StagesThatT5DoesNotHaveAreRefused) {
  const std::vector<std::pair<std::string, std::function<void(Json&)>>> changes{
      {"a normalizer",
       [](Json& file) {
         file["normalizer"] = {{"type", "NFD"}};
       }},
      {"character map", [](Json& file) { file["normalizer"]["precompiled_charsmap"] = 3; }},
      {"base64", [](Json& file) { file["normalizer"]["precompiled_charsmap"] = "A*=="; }},
      {"a pre-tokenizer",
       [](Json& file) {
         file["pre_tokenizer"] = {{"type", "ByteLevel"}};
       }},
      {"a pre-tokenizer", [](Json& file) { file["pre_tokenizer"] = nullptr; }},
      {"a Metaspace",
       [](Json& file) {
         file["pre_tokenizer"]["pretokenizers"][1]["prepend_scheme"] = "sometimes";
       }},
      {"post-processor", [](Json& file) { file["post_processor"]["single"].erase(1); }},
      {"post-processor", [](Json& file) { file["post_processor"]["special_tokens"].clear(); }},
      {"outside the vocabulary", [](Json& file) { file["model"]["unk_id"] = 153; }},
      {"unknown characters", [](Json& file) { file["model"]["unk_id"] = nullptr; }},
      {"byte_fallback", [](Json& file) { file["model"]["byte_fallback"] = true; }},
      {"pieces 3 and 4 are the same",
       [](Json& file) { file["model"]["vocab"][4][0] = file["model"]["vocab"][3][0]; }},
      {"the score of piece 5", [](Json& file) { file["model"]["vocab"][5][1] = "1.5"; }},
      {"piece 6 is not a pair", [](Json& file) { file["model"]["vocab"][6].push_back(1); }},
  };
  for (const auto& [mention, change] : changes) {
    const Folder folder = t5_json();
    folder.edit("tokenizer.json", change);
    expect_refused(folder, kBad, mention);
  }
}

TEST(BrokenTokenizer, ACharacterMapThatLeadsOutOfItselfIsRefused) {
  const auto with_map = [](const std::string& base64) {
    Folder folder = t5_json();
    folder.edit("tokenizer.json",
                [&](Json& file) { file["normalizer"]["precompiled_charsmap"] = base64; });
    return folder;
  };
  expect_refused(with_map(""), kBad, "does not fit");
  expect_refused(with_map("/////w=="), kBad, "does not fit");      // array of 4 GB
  expect_refused(with_map("BAAAAAAAAAA="), kBad, "NUL-ended");     // one unit, no replacements
  expect_refused(with_map("BAAAAAAAAAAA"), kBad, "unit 0");        // one unit: no room for children
  expect_refused(with_map("AwAAAAAAAAAA"), kBad, "does not fit");  // three bytes of array
}

TEST(BrokenTokenizer, SpieceModelsOfOtherKindsAreRefused) {
  const std::string good = t5_spiece().text("spiece.model");
  const auto with = [&](const std::string& more) {
    Folder folder = t5_spiece();
    folder.write("spiece.model", good + more);
    return folder;
  };
  // Protobuf: field 2 (trainer) { 3 (model_type): 2 (BPE) }, { 24: true }; field 3 { 5: false };
  // field 1 (piece) …
  expect_refused(with({"\x12\x02\x18\x02", 4}), kBad, "model type 2");
  expect_refused(with({"\x12\x03\xC0\x01\x01", 5}), kBad, "treat_whitespace_as_suffix");
  expect_refused(with({"\x1A\x02\x28\x00", 4}), kBad, "not escaped");
  expect_refused(with({"\x0A\x0A\x0A\x01x\x15\x00\x00\x80\xBF\x18\x04", 12}), kBad, "of a type");
  expect_refused(with({"\x0A\x0A\x0A\x01x\x15\x00\x00\xC0\x7F\x18\x01", 12}), kBad, "no score");
  expect_refused(with({"\x0A\x0A\x0A\x01x\x15\x00\x00\x80\xBF\x18\x02", 12}), kBad, "unknown");
  expect_refused(with("\x12\x7F"), kBad, "protobuf");
  const Folder empty = t5_spiece();
  empty.write("spiece.model", "");
  expect_refused(empty, kBad, "unknown");
}

/// Loads a spoiled folder and uses what loads; only an Error may come out.
void survive(const Folder& folder) {
  try {
    const auto tokenizer = load_tokenizer(folder.path());
    const Encoding encoding =
        tokenizer->encode("A red\u00A0circle, cafe\u0301 \uFF21\uFF22 \u4E00 <pad>", 20, true);
    tokenizer->decode(encoding.ids);
  } catch (const Error&) {
  }
}

/// Copies of a file with random bytes changed, cut out, doubled or cut off.
std::string spoil(std::string text, std::mt19937& random) {
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  for (std::size_t count = 1 + below(4); count > 0 && !text.empty(); --count) {
    const std::size_t at = below(text.size());
    switch (below(5)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 2:
        text.erase(at, 1 + below(40));
        break;
      case 3:
        text.insert(at, text.substr(at, 1 + below(40)));
        break;
      default:
        if (below(4) == 0) text.resize(at);
    }
  }
  return text;
}

TEST(BrokenTokenizer, RandomDamageNeverCrashes) {
  std::mt19937 random(7);
  const std::vector<std::pair<Folder (*)(), std::vector<std::string>>> kinds{
      {clip_files, {"vocab.json", "merges.txt", "tokenizer_config.json"}},
      {clip_json, {"tokenizer.json"}},
      {t5_json, {"tokenizer.json"}},
      {t5_spiece, {"spiece.model"}},
  };
  for (const auto& [make, names] : kinds) {
    const Folder folder = make();
    for (const std::string& name : names) {
      const std::string good = folder.text(name);
      for (int round = 0; round < 60; ++round) {
        folder.write(name, spoil(good, random));
        survive(folder);
      }
      folder.write(name, good);
    }
  }
}

}  // namespace
}  // namespace ditq
