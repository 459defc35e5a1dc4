// build-fp8, inspect, tokenize and version as a user runs them: without an engine.

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/ditq_program.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> build_fp8_arguments(const std::string& output) {
  return {"build-fp8",
          "--modelopt-hf-dir",
          tiny_flux_fp8().string(),
          "--modelopt-backbone-ckpt",
          (tiny_flux_fp8() / "transformer.small.pt").string(),
          "--base-transformer-dir",
          tiny_flux().string(),
          "--output-dir",
          output};
}

TEST(BuildFp8Command, PrintsTheStatisticsThatSglangPrintsAndNothingElseOnStdout) {
  const TemporaryFolder folder;
  std::vector<std::string> arguments = build_fp8_arguments(folder / "out");
  arguments.insert(arguments.end(), {"--fallback_set", "upstream", "--quiet"});
  const ProcessResult result = ditq(arguments);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  // Printed by SGLang's builder for the same export (golden flux1-tiny, fp8-auto).
  EXPECT_EQ(result.out,
            "{\n"
            "  \"added_scale_tensors\": 72,\n"
            "  \"bf16_fallback_weights\": 16,\n"
            "  \"output_shards\": 1,\n"
            "  \"preserved_ignored_weights\": 26,\n"
            "  \"quantized_weights\": 36\n"
            "}\n");
}

TEST(BuildFp8Command, RefusesAnExistingFolderUnlessToldToReplaceIt) {
  const TemporaryFolder folder;
  EXPECT_EQ(ditq(build_fp8_arguments(folder / "out")).exit_code, 0);
  EXPECT_EQ(ditq(build_fp8_arguments(folder / "out")).exit_code, 3);
  std::vector<std::string> arguments = build_fp8_arguments(folder / "out");
  arguments.insert(arguments.end(), {"--overwrite", "true"});
  EXPECT_EQ(ditq(arguments).exit_code, 0);
}

TEST(BuildFp8Command, MissingFlagsAndBadPatternsAreUsage) {
  const TemporaryFolder folder;
  const ProcessResult missing = ditq({"build-fp8", "--output-dir", folder / "out"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("--modelopt-hf-dir is required"));
  std::vector<std::string> arguments = build_fp8_arguments(folder / "out");
  arguments.insert(arguments.end(), {"--keep-bf16-pattern", "(unclosed"});
  EXPECT_EQ(ditq(arguments).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

TEST(BuildFp8Command, TakesThreadsAndMemoryAndRefusesWhatCannotBe) {
  const TemporaryFolder folder;
  const auto with = [&](const std::string& flag, const std::string& value) {
    std::vector<std::string> arguments = build_fp8_arguments(folder / "out");
    arguments.insert(arguments.end(), {"--overwrite", flag, value});
    return ditq(arguments);
  };
  EXPECT_EQ(with("--jobs", "3").exit_code, 0);
  EXPECT_EQ(with("--max_memory", "2.5 GiB").exit_code, 0);
  EXPECT_EQ(with("--jobs", "0").exit_code, 2);
  EXPECT_EQ(with("--max-memory", "plenty").exit_code, 2);
  const ProcessResult little = with("--max-memory", "1MB");
  EXPECT_EQ(little.exit_code, 2);
  EXPECT_THAT(little.err, HasSubstr("--max-memory is too small"));
}

TEST(InspectCommand, TellsFamilySchemeAndWhyALayerIsNotQuantized) {
  const ProcessResult result =
      ditq({"inspect", "--json", "--layers", (tiny_flux_fp8() / "transformer").string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out, "stdout");
  EXPECT_EQ(report["family"], "flux1");
  EXPECT_EQ(report["variant"], "tiny");
  EXPECT_EQ(report["dialect"], "diffusers");
  EXPECT_EQ(report["scheme"], "fp8-modelopt");
  EXPECT_EQ(report["quantization"]["quant_algo"], "FP8");
  EXPECT_EQ(report["quantized_layers"], 52);
  std::map<std::string, Json> layers;
  for (const Json& layer : report["layers"]) layers[layer["name"].get<std::string>()] = layer;
  const Json& to_q = layers.at("transformer_blocks.0.attn.to_q");
  EXPECT_EQ(to_q["dtype"], "F8_E4M3");
  EXPECT_EQ(to_q["shape"], Json({256, 256}));
  EXPECT_GT(to_q["weight_scale"].get<double>(), 0);
  EXPECT_GT(to_q["input_scale"].get<double>(), 0);
  EXPECT_TRUE(to_q["note"].is_null());
  EXPECT_EQ(layers.at("norm_out.linear")["note"], "ignored by 'norm_out*'");
  EXPECT_EQ(layers.at("x_embedder")["note"], "ignored by name");
  EXPECT_EQ(layers.at("transformer_blocks.0.attn.norm_q")["note"], "no matrix: norm or vector");
  EXPECT_THAT(layers.at("transformer_blocks.0.norm1.linear")["note"].get<std::string>(),
              HasSubstr("dequantizes"));
}

TEST(InspectCommand, TellsTheFallbacksOfAConvertedCheckpoint) {
  const TemporaryFolder folder;
  ASSERT_EQ(ditq(build_fp8_arguments(folder / "out")).exit_code, 0);
  const ProcessResult result = ditq({"inspect", folder / "out"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("fp8-sglang"));
  EXPECT_THAT(result.out, HasSubstr("32 of 78 layers quantized"));
  EXPECT_THAT(result.out, HasSubstr("BF16 fallback of FLUX.1"));
  EXPECT_THAT(result.out, Not(HasSubstr("no rule")));
}

TEST(InspectCommand, ListsThePartsOfAPipeline) {
  const ProcessResult result = ditq({"inspect", tiny_flux().string(), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out, "stdout");
  EXPECT_EQ(report["kind"], "pipeline");
  EXPECT_EQ(report["class_name"], "FluxPipeline");
  std::map<std::string, Json> parts;
  for (const Json& part : report["components"]) parts[part["name"].get<std::string>()] = part;
  EXPECT_EQ(parts.at("transformer")["checkpoint"]["family"], "flux1");
  EXPECT_EQ(parts.at("vae")["class_name"], "AutoencoderKL");
  EXPECT_TRUE(parts.at("tokenizer")["checkpoint"].is_null());
  EXPECT_FALSE(parts.at("transformer")["checkpoint"].contains("layers"));
}

TEST(InspectCommand, ReadsASingleFileAndATorchCheckpoint) {
  const ProcessResult file =
      ditq({"inspect", (tiny_flux() / "vae/diffusion_pytorch_model.safetensors").string()});
  EXPECT_EQ(file.exit_code, 0) << file.err;
  EXPECT_THAT(file.out, HasSubstr("AutoencoderKL"));
  const ProcessResult torch =
      ditq({"inspect", (tiny_flux_fp8() / "transformer.small.pt").string(), "--json", "--layers"});
  ASSERT_EQ(torch.exit_code, 0) << torch.err;
  const Json report = parse_json(torch.out, "stdout");
  EXPECT_EQ(report["kind"], "torch checkpoint");
  EXPECT_THAT(report["reasons"].dump(), HasSubstr("calibrated"));
}

TEST(InspectCommand, BadInputIsThreeAndNamesTheFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(ditq({"inspect", folder / "absent"}).exit_code, 3);
  std::ofstream(folder / "short.safetensors") << "abc";
  const ProcessResult result = ditq({"inspect", folder / "short.safetensors"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("short.safetensors"));
  EXPECT_EQ(result.out, "");
}

TEST(InspectCommand, ANameCannotDriveTheTerminal) {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& file, const std::string& header) {
    std::uint64_t length = header.size();
    std::ofstream(folder / file, std::ios::binary)
        .write(reinterpret_cast<const char*>(&length), sizeof(length))
        .write(header.data(), static_cast<std::streamsize>(header.size()));
  };
  const std::string entry =
      R"(\u001b]0;owned\u0007\u009b2J.weight":{"dtype":"U8","shape":[0],"data_offsets":)";
  write("odd.safetensors", R"({")" + entry + "[0,0]}}");
  const ProcessResult page = ditq({"inspect", folder / "odd.safetensors", "--layers"});
  EXPECT_EQ(page.exit_code, 0) << page.err;
  EXPECT_THAT(page.out, HasSubstr(R"(\x1b]0;owned\x07\x9b2J)"));
  EXPECT_THAT(page.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(page.out, Not(HasSubstr("\u009b")));
  write("bad.safetensors", R"({")" + entry + "[0,9]}}");
  const ProcessResult refused = ditq({"inspect", folder / "bad.safetensors"});
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, HasSubstr(R"(\x1b]0;owned\x07\x9b2J)"));
  EXPECT_THAT(refused.err, Not(HasSubstr("\x1b")));
}

TEST(TokenizeCommand, PrintsOneListPerPrompt) {
  const TemporaryFolder folder;
  std::ofstream(folder / "prompts.txt", std::ios::binary) << "\xef\xbb\xbf"
                                                             "a red circle\r\n\na star\n";
  const std::string tokenizer = (tiny_flux() / "tokenizer_2").string();
  const ProcessResult lines =
      ditq({"tokenize", "--tokenizer", tokenizer, "--file", folder / "prompts.txt"});
  ASSERT_EQ(lines.exit_code, 0) << lines.err;
  const ProcessResult texts = ditq({"tokenize", "--tokenizer", tokenizer, "--text", "a red circle",
                                    "--text=", "--text", "a star"});
  EXPECT_EQ(lines.out, texts.out);
  EXPECT_EQ(parse_json(lines.out, "stdout").size(), 3U);
}

TEST(TokenizeCommand, WarnsWhereItCuts) {
  const ProcessResult result =
      ditq({"tokenize", "--tokenizer", (tiny_flux() / "tokenizer_2").string(), "--text",
            "a red circle on a navy background", "--max-length", "4", "--pad"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(parse_json(result.out, "stdout")[0].size(), 4U);
  EXPECT_THAT(result.err, HasSubstr("warning: "));
}

TEST(VersionCommand, PrintsJsonWhereAskedFor) {
  const ProcessResult result = ditq({"version", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(parse_json(result.out, "stdout").contains("engine"));
}

// The loader reports every library that it maps; the promise is that these subcommands map none of torch's.
TEST(ToolkitCommands, LoadNoLibtorch) {
  const TemporaryFolder folder;
  const std::vector<std::vector<std::string>> commands = {
      build_fp8_arguments(folder / "out"),
      {"inspect", tiny_flux().string()},
      {"doctor", tiny_flux().string()},
      {"tokenize", "--tokenizer", (tiny_flux() / "tokenizer").string(), "--text", "a star"},
      {"generate", "--help"}};
  for (const std::vector<std::string>& command : commands) {
    const ProcessResult result = ditq(command, {.environment = {{"LD_DEBUG", "files"}}});
    EXPECT_EQ(result.exit_code, 0) << command.front();
    EXPECT_THAT(result.err, HasSubstr("libditq_toolkit.so")) << "the loader was not heard";
    EXPECT_THAT(result.err, Not(HasSubstr("libtorch"))) << command.front();
    EXPECT_THAT(result.err, Not(HasSubstr("libditq_engine"))) << command.front();
  }
}

}  // namespace
}  // namespace ditq::test
