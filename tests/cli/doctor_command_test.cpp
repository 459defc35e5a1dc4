// doctor and inspect as a user runs them, on a small model in the forms that other tools write.

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/ditq_program.h"
#include "family/registry.h"
#include "format/helpers.h"
#include "support/nvfp4_export.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;

const std::string kWeights = "/diffusion_pytorch_model.safetensors";

OwnedTensors quantized() {
  OwnedTensors out = load_tensors((tiny_flux() / "transformer").string());
  quantize_nvfp4(out, [](const std::string& module) {
    return module.starts_with("transformer_blocks.") && module.find("norm_") == std::string::npos &&
                   module.find("_proj") == std::string::npos
               ? "all"
               : "";
  });
  return out;
}

void write_folder(const TemporaryFolder& folder, const OwnedTensors& tensors, const Json& quant) {
  Json config = read_json((tiny_flux() / "transformer/config.json").string());
  config["quantization_config"] = quant;
  write_text(folder / "config.json", dump_json(config));
  write_tensors(folder.path().string() + kWeights, tensors);
}

const Json kDeclared = {{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}, {"group_size", 16}};

TEST(DoctorCommand, ExitsWithZeroForASoundCheckpointAndWithOneForAFinding) {
  const TemporaryFolder folder;
  write_folder(folder, quantized(), kDeclared);
  const std::string base = tiny_flux().string();
  const ProcessResult sound = ditq({"doctor", folder.path().string(), "--base", base});
  EXPECT_EQ(sound.exit_code, 0) << sound.err << sound.out;
  EXPECT_THAT(sound.out, HasSubstr("no problem found"));
  EXPECT_THAT(sound.out, HasSubstr("transformer_blocks.#.ff.net.2"));
  EXPECT_THAT(sound.out, HasSubstr("This machine"));

  Json swapped = kDeclared;
  swapped["swap_weight_nibbles"] = true;
  write_folder(folder, quantized(), swapped);
  const ProcessResult wrong = ditq({"doctor", folder.path().string(), "--base", base});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.out, HasSubstr("nibble_order"));
  EXPECT_THAT(wrong.out, HasSubstr("Set swap_weight_nibbles to false"));

  const ProcessResult json =
      ditq({"doctor", folder.path().string(), "--base", base, "--json", "--quiet"});
  EXPECT_EQ(json.exit_code, 1);
  EXPECT_EQ(json.err, "");
  const Json report = parse_json(json.out, "stdout");
  EXPECT_EQ(report["healthy"], false);
  EXPECT_EQ(report["findings"][0]["kind"], "nibble_order");
  EXPECT_GT(report["findings"][0]["error"].get<double>(), 1.0);
  EXPECT_LT(report["findings"][0]["error_after"].get<double>(), 0.2);
}

TEST(DoctorCommand, ExitsWithThreeWhereAFileCannotBeParsedAndWithTwoForUsage) {
  const TemporaryFolder folder;
  put_file(folder / "short.safetensors", "abc");
  const ProcessResult broken = ditq({"doctor", folder / "short.safetensors"});
  EXPECT_EQ(broken.exit_code, 3);
  EXPECT_THAT(broken.err, HasSubstr("short.safetensors"));
  EXPECT_EQ(broken.out, "");
  EXPECT_EQ(ditq({"doctor", folder / "absent"}).exit_code, 3);
  EXPECT_EQ(ditq({"doctor"}).exit_code, 2);
}

TEST(DoctorCommand, VerifiesTheChecksumsOfAConversion) {
  const TemporaryFolder folder;
  const std::string out = folder / "mixed";
  write_flux1_nvfp4_export(folder / "export");
  ASSERT_EQ(ditq({"build-nvfp4", "--base-transformer-dir", (tiny_flux() / "transformer").string(),
                  "--modelopt-hf-dir", folder / "export", "--output-dir", out, "--pattern-preset",
                  "flux1-nvfp4"})
                .exit_code,
            0);
  const ProcessResult right = ditq({"doctor", out, "--verify", "--json"});
  EXPECT_EQ(right.exit_code, 0) << right.out << right.err;
  EXPECT_EQ(parse_json(right.out, "stdout")["verified"],
            Json({"diffusion_pytorch_model.safetensors"}));

  // The last byte of a block scale: still a number, and no longer what was written.
  std::fstream file(out + kWeights, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-1, std::ios::end);
  const char last = static_cast<char>(file.peek() ^ 1);
  file.seekp(-1, std::ios::end);
  file.put(last);
  file.close();
  const ProcessResult wrong = ditq({"doctor", out, "--verify"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.out, HasSubstr("changed since it was written"));

  std::filesystem::remove(out + "/checksums");
  EXPECT_EQ(ditq({"doctor", out, "--verify"}).exit_code, 3);
}

TEST(InspectCommand, TellsHowAPackedFileIsRead) {
  const TemporaryFolder folder;
  OwnedTensors packed = in_dialect(quantized(), dialect(flux1_family(), "bfl"));
  pack_as_comfy(packed);
  write_tensors(folder / "packed.safetensors", packed);
  const ProcessResult result =
      ditq({"inspect", folder / "packed.safetensors", "--json", "--layers"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out, "stdout");
  EXPECT_EQ(report["family"], "flux1");
  EXPECT_EQ(report["variant"], "tiny");
  EXPECT_EQ(report["dialect"], "bfl");
  EXPECT_EQ(report["scheme"], "nvfp4");
  const std::string reasons = report["reasons"].dump();
  EXPECT_THAT(reasons, HasSubstr("nibbles: the high one holds the even column, exchanged at load: "
                                 "the order of files with bfl names"));
  EXPECT_THAT(reasons, HasSubstr("block scales: 128x4 order, undone at load"));
  EXPECT_THAT(reasons, HasSubstr("nothing declares them"));
  EXPECT_THAT(reasons, HasSubstr("final_layer.adaLN_modulation.1"));
  for (const Json& layer : report["layers"]) {
    if (layer["name"] != "double_blocks.1.img_attn.qkv") continue;
    EXPECT_EQ(layer["dtype"], "NVFP4");
    EXPECT_EQ(layer["diffusers"],
              Json({"transformer_blocks.1.attn.to_q", "transformer_blocks.1.attn.to_k",
                    "transformer_blocks.1.attn.to_v"}));
  }
  const ProcessResult page = ditq({"inspect", folder / "packed.safetensors"});
  EXPECT_THAT(page.out, HasSubstr("fused: 4 layers of diffusers"));
}

TEST(InspectCommand, SaysWhyACheckpointIsNotLoaded) {
  const TemporaryFolder folder;
  OwnedTensors tensors = quantized();
  tensors.erase("transformer_blocks.1.ff.net.2.weight_scale_2");
  write_folder(folder, tensors, kDeclared);
  const ProcessResult result = ditq({"inspect", folder.path().string(), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string reasons = parse_json(result.out, "stdout")["reasons"].dump();
  EXPECT_THAT(reasons, HasSubstr("ditq does not load it: an NVFP4 weight lacks a scale"));
  EXPECT_THAT(reasons, HasSubstr("transformer_blocks.1.ff.net.2.weight_scale_2"));
}

}  // namespace
}  // namespace ditq::test
