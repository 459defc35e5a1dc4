// generate and compare up to the point where the engine would be asked: what is refused, and how.

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/ditq_program.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> generate(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"generate", "--model-path", tiny_flux().string(),
                                        "--prompt", "a star"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(GenerateCommand, NeedsAModelAndAPrompt) {
  EXPECT_THAT(ditq({"generate", "--prompt", "x"}).err, HasSubstr("--model-path is required"));
  const ProcessResult result = ditq({"generate", "--model-path", tiny_flux().string()});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("a prompt is missing"));
}

TEST(GenerateCommand, RefusesByNameWhatItCannotDo) {
  const std::vector<std::vector<std::string>> cases = {{"--vae-cpu-offload"},
                                                       {"--text_encoder_cpu_offload", "true"},
                                                       {"--dit-layerwise-offload=true"},
                                                       {"--num-gpus", "2"},
                                                       {"--tp-size", "4"},
                                                       {"--enable-cfg-parallel"},
                                                       {"--lora-path", "x"},
                                                       {"--image-path", "x"},
                                                       {"--num-frames", "81"},
                                                       {"--backend", "diffusers"}};
  for (const std::vector<std::string>& flag : cases) {
    const ProcessResult result = ditq(generate(flag));
    EXPECT_EQ(result.exit_code, 4) << flag.front();
    EXPECT_THAT(result.err, HasSubstr("is not supported")) << flag.front();
    EXPECT_EQ(result.out, "");
  }
}

// The first thing that is wrong behind these flags is the folder: they themselves were accepted.
TEST(GenerateCommand, AcceptsWhatSglangsCommandLinesSayAnyway) {
  const ProcessResult result =
      ditq({"generate", "--model-path", "/nonexistent/model", "--prompt", "x", "--num-gpus", "1",
            "--vae-cpu-offload", "false", "--backend=sglang", "--no-dit-layerwise-offload",
            "--true-cfg-scale", "1.0", "--dit_cpu_offload", "false"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr("/nonexistent/model"));
}

TEST(GenerateCommand, ReadsPromptsFromAFile) {
  const TemporaryFolder folder;
  std::ofstream(folder / "empty.txt") << "\n \r\n";
  const ProcessResult empty = ditq(
      {"generate", "--model-path", tiny_flux().string(), "--prompts-file", folder / "empty.txt"});
  EXPECT_EQ(empty.exit_code, 3);
  EXPECT_THAT(empty.err, HasSubstr("no prompt"));
  EXPECT_EQ(ditq(generate({"--prompts-file", folder / "empty.txt"})).exit_code, 2)
      << "both forms at once";
  EXPECT_EQ(
      ditq({"generate", "--model-path", tiny_flux().string(), "--prompts-file", folder / "absent"})
          .exit_code,
      3);
}

TEST(ModelPath, ARepositoryIdIsLookedUpInTheLocalCacheAndNeverDownloaded) {
  const TemporaryFolder folder;
  const ProcessResult absent =
      ditq({"generate", "--model-path", "someone/some-model", "--prompt", "x"},
           {.environment = {{"HF_HOME", folder.path().string()}, {"HF_HUB_CACHE", ""}}});
  EXPECT_EQ(absent.exit_code, 3);
  EXPECT_THAT(absent.err, HasSubstr("hf download someone/some-model"));
  EXPECT_THAT(absent.err, HasSubstr(folder.path().string()));
}

// A snapshot without the component that is overridden: the error names the snapshot's folder, so it was found.
TEST(ModelPath, ASnapshotOfTheCacheIsFoundThroughItsReference) {
  const TemporaryFolder folder;
  const std::filesystem::path model = folder.path() / "hub/models--someone--some-model";
  std::filesystem::create_directories(model / "refs");
  std::filesystem::create_directories(model / "snapshots/0123abc");
  std::ofstream(model / "refs/main") << "0123abc\n";
  std::ofstream(model / "snapshots/0123abc/model_index.json")
      << R"({"_class_name": "X", "vae": ["diffusers", "Y"]})";
  const ProcessResult result =
      ditq({"generate", "--model-path", "someone/some-model", "--prompt", "x", "--unet-path", "y"},
           {.environment = {{"HF_HOME", folder.path().string()}, {"HF_HUB_CACHE", ""}}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("snapshots/0123abc"));
  EXPECT_THAT(result.err, HasSubstr("no component 'unet'"));
}

TEST(ComponentPaths, AreAcceptedInEverySpellingAndCheckedAgainstThePipeline) {
  const std::vector<std::vector<std::string>> spellings = {
      {"--text-encoder-2-path", "/nonexistent"},
      {"--text_encoder_2_path=/nonexistent"},
      {"--component-paths.text-encoder-2=/nonexistent"},
      {"--component_paths.text_encoder_2", "/nonexistent"}};
  for (const std::vector<std::string>& spelling : spellings) {
    const ProcessResult result = ditq(generate(spelling));
    EXPECT_EQ(result.exit_code, 3) << spelling.front();
    EXPECT_THAT(result.err, HasSubstr("--text-encoder-2-path")) << spelling.front();
  }
  const ProcessResult unknown = ditq(generate({"--transfomer-path", "x"}));
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("Did you mean transformer?"));
  EXPECT_EQ(ditq(generate({"--vae-path", "--quiet"})).exit_code, 2)
      << "a value that starts with - is not consumed";
}

TEST(ComponentPaths, AConfigGivesThemToo) {
  const TemporaryFolder folder;
  std::ofstream(folder / "flags.yaml") << "component_paths:\n  text-encoder-2: /nonexistent/a\n";
  std::ofstream(folder / "flat.yaml") << "transformer_quantized_path: /nonexistent/b\n";
  EXPECT_THAT(ditq(generate({"--config", folder / "flags.yaml"})).err, HasSubstr("/nonexistent/a"));
  EXPECT_THAT(ditq(generate({"--config", folder / "flat.yaml"})).err, HasSubstr("/nonexistent/b"));
}

TEST(CompareCommand, RefusesFormsThatCannotBe) {
  EXPECT_EQ(ditq({"compare", "--reference", "a.png"}).exit_code, 2);
  EXPECT_EQ(
      ditq({"compare", "--reference", "a.png", "--candidate", "b.png", "--prompt", "x"}).exit_code,
      2);
  EXPECT_EQ(ditq({"compare", "--prompt", "x"}).exit_code, 2);
  const ProcessResult nowhere = ditq(
      {"compare", "--reference", "a.png", "--candidate", "b.png", "--report", "nowhere/r.html"});
  EXPECT_EQ(nowhere.exit_code, 5);
  EXPECT_THAT(nowhere.err, HasSubstr("nowhere"));
  for (const char* bars :
       {"cosine=0.9", "cosine>=", ">=1", "cosine>=0.9,", "cosine>=0.9;psnr>=1"}) {
    const ProcessResult result =
        ditq({"compare", "--reference", "a.png", "--candidate", "b.png", "--require", bars});
    EXPECT_EQ(result.exit_code, 2) << bars;
    EXPECT_THAT(result.err, HasSubstr("--require"));
  }
  const ProcessResult pair = ditq({"compare", "--model-path", tiny_flux().string(), "--prompt", "x",
                                   "--candidate-component-path", "transformer"});
  EXPECT_EQ(pair.exit_code, 2);
  EXPECT_THAT(pair.err, HasSubstr("component=path"));
}

#ifndef DITQ_HAS_ENGINE
TEST(EngineCommands, SayWhatIsMissingInAToolkitBuild) {
  const ProcessResult result = ditq(generate({}));
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("scripts/build release"));
}
#endif

}  // namespace
}  // namespace ditq::test
