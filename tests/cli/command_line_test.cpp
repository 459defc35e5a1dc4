// What holds for every subcommand: exit codes, spelling of flags, config files, help.

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/ditq_program.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;

const std::string kTransformer = (tiny_flux() / "transformer").string();

bool prints_json(const ProcessResult& result) {
  return result.exit_code == 0 && result.out.starts_with("{");
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// Lines of at most 100 columns: no byte of ours is a wide character.
void expect_fits(const std::string& page) {
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U; };
    const auto bytes = std::count_if(line.begin(), line.end(), continues);
    EXPECT_LE(line.size() - static_cast<std::size_t>(bytes), 100U) << line;
  }
}

TEST(CommandLine, HelpListsEverySubcommandOnStdout) {
  const ProcessResult result = ditq({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  for (const char* command :
       {"build-fp8", "inspect", "tokenize", "generate", "compare", "version"}) {
    EXPECT_THAT(result.out, HasSubstr(command));
  }
}

TEST(CommandLine, EveryHelpPageFitsAHundredColumns) {
  expect_fits(ditq({"--help"}).out);
  for (const char* command :
       {"build-fp8", "inspect", "tokenize", "generate", "compare", "version"}) {
    const ProcessResult result = ditq({command, "--help"});
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_THAT(result.out, HasSubstr(std::string("usage: ditq ") + command));
    expect_fits(result.out);
  }
}

TEST(CommandLine, NamesCommandsAndFlagsForShellCompletion) {
  EXPECT_THAT(ditq({"--list-flags"}).out, HasSubstr("build-fp8\n"));
  const ProcessResult result = ditq({"generate", "--list-flags"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("--num-inference-steps\n"));
}

TEST(CommandLine, UnknownCommandIsUsageAndSuggestsTheNearest) {
  const ProcessResult result = ditq({"genrate"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("ditq: error: unknown command 'genrate'"));
  EXPECT_THAT(result.err, HasSubstr("Did you mean generate?"));
}

TEST(CommandLine, NoCommandIsUsage) {
  EXPECT_EQ(ditq({}).exit_code, 2);
}

TEST(CommandLine, UnknownFlagIsUsageAndSuggestsTheNearest) {
  const ProcessResult slip = ditq({"inspect", kTransformer, "--layer"});
  EXPECT_EQ(slip.exit_code, 2);
  EXPECT_THAT(slip.err, HasSubstr("Did you mean --layers?"));
  const ProcessResult word = ditq({"generate", "--steps", "3"});
  EXPECT_EQ(word.exit_code, 2);
  EXPECT_THAT(word.err, HasSubstr("Did you mean --num-inference-steps?"));
  const ProcessResult path = ditq({"generate", "--modle-path", "x"});
  EXPECT_EQ(path.exit_code, 2);
  EXPECT_THAT(path.err, HasSubstr("Did you mean --model-path?"));
}

TEST(CommandLine, BooleanFlagsAreBareOrSpelledOut) {
  for (const std::vector<std::string>& form :
       std::vector<std::vector<std::string>>{{"--json"},
                                             {"--json", "true"},
                                             {"--json=true"},
                                             {"--json", "TRUE"},
                                             {"--no-json=false"},
                                             {"--json=1"}}) {
    std::vector<std::string> arguments = {"inspect"};
    arguments.insert(arguments.end(), form.begin(), form.end());
    arguments.push_back(kTransformer);
    EXPECT_TRUE(prints_json(ditq(arguments))) << form.front();
  }
  for (const std::vector<std::string>& form :
       std::vector<std::vector<std::string>>{{"--json", "false"},
                                             {"--json=false"},
                                             {"--no-json"},
                                             {"--json", "--no-json"},
                                             {"--json=off"}}) {
    std::vector<std::string> arguments = {"inspect", kTransformer};
    arguments.insert(arguments.end(), form.begin(), form.end());
    const ProcessResult result = ditq(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_FALSE(prints_json(result)) << form.front();
  }
  EXPECT_EQ(ditq({"inspect", kTransformer, "--json=perhaps"}).exit_code, 2);
}

TEST(CommandLine, DashesAndUnderscoresAreTheSame) {
  const std::string tokenizer = (tiny_flux() / "tokenizer").string();
  const ProcessResult dashes =
      ditq({"tokenize", "--tokenizer", tokenizer, "--text", "a ring", "--max-length", "5"});
  const ProcessResult underscores =
      ditq({"tokenize", "--tokenizer", tokenizer, "--text=a ring", "--max_length=5"});
  EXPECT_EQ(dashes.exit_code, 0) << dashes.err;
  EXPECT_EQ(dashes.out, underscores.out);
}

TEST(CommandLine, FlagsBeforeTheCommandBelongToIt) {
  EXPECT_TRUE(prints_json(ditq({"--json", "inspect", kTransformer})));
}

TEST(CommandLine, ValuesAreCheckedAndNamed) {
  const std::vector<std::string> base = {"generate", "--model-path", tiny_flux().string(),
                                         "--prompt", "x"};
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--seed", "many"}, "--seed: 'many' is no whole number"},
      {{"--seed", "-1"}, "--seed: '-1' is negative"},
      {{"--height", "0"}, "--height: at least 1 is needed"},
      {{"--width", "99999999999999999999"}, "--width: 99999999999999999999 is out of range"},
      {{"--guidance-scale", "nan"}, "--guidance-scale: 'nan' is no finite number"},
      {{"--dtype", "fp16"}, "--dtype: 'fp16' is not one of bf16, fp32"},
      {{"--device", "gpu"}, "--device"},
      {{"--seed"}, "--seed needs a value"},
      {{"--num-inference-steps", "--quiet"}, "--num-inference-steps needs a value"},
      {{"stray"}, "unexpected argument 'stray'"},
      {{"--720p", "--height", "256"}, "--720p"},
  };
  for (const auto& [more, message] : cases) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult result = ditq(arguments);
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
  }
}

TEST(CommandLine, ConfigGivesValuesThatTheCommandLineOverrides) {
  const TemporaryFolder folder;
  const std::string tokenizer = (tiny_flux() / "tokenizer").string();
  write_file(folder / "flags.yaml",
             "tokenizer: " + tokenizer + "\nmax_length: 3\ntext: [a ring, a star]\npad: true\n");
  write_file(folder / "flags.json",
             R"({"tokenizer": ")" + tokenizer + R"(", "max-length": 3, "text": "a ring"})");
  const auto ids = [](const ProcessResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "stdout");
  };
  const Json yaml = ids(ditq({"tokenize", "--config", folder / "flags.yaml"}));
  ASSERT_EQ(yaml.size(), 2U);
  EXPECT_EQ(yaml[0].size(), 3U);
  const Json json =
      ids(ditq({"tokenize", "--config", folder / "flags.json", "--max_length", "4", "--pad"}));
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0].size(), 4U);
  EXPECT_EQ(ids(ditq({"tokenize", "--config", folder / "flags.yaml", "--text", "a cross"})).size(),
            1U);
}

TEST(CommandLine, ConfigErrorsNameTheFile) {
  const TemporaryFolder folder;
  const std::vector<std::tuple<std::string, std::string, int, std::string>> cases = {
      {"unknown.yaml", "max_lenght: 3\n", 2, "Did you mean --max-length?"},
      {"value.json", R"({"max_length": "three"})", 2, "--max-length: 'three'"},
      {"list.json", R"({"max_length": [1, 2]})", 2, "takes one value"},
      {"deep.json", R"({"text": [["a"]]})", 3, "text"},
      {"syntax.yaml", "a: [b\n", 3, "YAML"},
      {"syntax.json", "{", 3, "syntax.json"},
      {"scalar.yaml", "just text\n", 3, "mapping"},
  };
  for (const auto& [name, text, code, message] : cases) {
    write_file(folder / name, text);
    const ProcessResult result =
        ditq({"tokenize", "--tokenizer", "t", "--text", "x", "--config", folder / name});
    EXPECT_EQ(result.exit_code, code) << name << result.err;
    EXPECT_THAT(result.err, HasSubstr(message)) << name;
    EXPECT_THAT(result.err, HasSubstr(name));
  }
  EXPECT_EQ(ditq({"tokenize", "--config", folder / "absent.yaml"}).exit_code, 3);
}

TEST(CommandLine, AFullDiskBehindStdoutIsAStorageError) {
  const ProcessResult result = ditq({"inspect", kTransformer}, {.stdout_path = "/dev/full"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr("standard output"));
}

TEST(CommandLine, NoColorWhereOutputIsNoTerminal) {
  EXPECT_EQ(ditq({"inspect", kTransformer}).out.find('\033'), std::string::npos);
  EXPECT_EQ(ditq({"genrate"}).err.find('\033'), std::string::npos);
}

}  // namespace
}  // namespace ditq::test
