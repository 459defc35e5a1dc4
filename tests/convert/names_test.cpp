#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "convert/fp8_profile.h"
#include "convert/ignore_list.h"
#include "convert/name_variants.h"
#include "convert/paths.h"
#include "family/registry.h"
#include "format/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using testing::ElementsAre;

const NameVariants kPlain({});

TEST(NameVariants, RewriteTheFeedForwardOfTheImageStreamOnly) {
  EXPECT_THAT(kPlain.of("transformer_blocks.3.ff.net.0.proj.weight"),
              ElementsAre("transformer_blocks.3.ff.net.0.proj", "transformer_blocks.3.ff.proj_in"));
  EXPECT_THAT(kPlain.of("transformer_blocks.3.ff.net.2.weight"),
              ElementsAre("transformer_blocks.3.ff.net.2", "transformer_blocks.3.ff.proj_out"));
  EXPECT_THAT(kPlain.of("transformer_blocks.3.ff_context.net.0.proj.weight"),
              ElementsAre("transformer_blocks.3.ff_context.net.0.proj"));
}

TEST(NameVariants, DropTheSequentialIndexOfModulations) {
  EXPECT_EQ(kPlain.of("transformer_blocks.0.img_mod.1.weight").back(),
            "transformer_blocks.0.img_mod");
  EXPECT_EQ(kPlain.of("transformer_blocks.0.txt_mod.1.weight").back(),
            "transformer_blocks.0.txt_mod");
  EXPECT_EQ(kPlain.of("transformer_blocks.0.img_mod.2.weight").size(), 1u);
}

TEST(NameVariants, DropPrefixesBeforeRewriting) {
  EXPECT_THAT(kPlain.of("model.diffusion_model.transformer_blocks.0.audio_ff.net.2.weight"),
              ElementsAre("model.diffusion_model.transformer_blocks.0.audio_ff.net.2",
                          "transformer_blocks.0.audio_ff.net.2",
                          "model.diffusion_model.transformer_blocks.0.audio_ff.proj_out",
                          "transformer_blocks.0.audio_ff.proj_out"));
  EXPECT_EQ(kPlain.of("velocity_model.proj_out.weight").back(), "proj_out");
}

TEST(NameVariants, StripOneWeightSuffix) {
  EXPECT_EQ(module_of("a.weight.weight"), "a.weight");
  EXPECT_EQ(module_of("a.bias"), "a.bias");
}

TEST(NameVariants, GiveSeveralHunyuanLayersOneRuntimeName) {
  const NameVariants hunyuan(hunyuan_video_family().runtime_names);
  for (const char* part : {"to_q", "to_k", "to_v"}) {
    EXPECT_EQ(hunyuan.of(std::string("transformer_blocks.0.attn.") + part + ".weight").back(),
              "double_blocks.0.img_attn_qkv");
  }
  EXPECT_EQ(hunyuan.of("single_transformer_blocks.7.proj_mlp.weight").back(),
            "single_blocks.7.linear1");
  EXPECT_EQ(
      hunyuan.of("context_embedder.token_refiner.refiner_blocks.1.ff.net.0.proj.weight").back(),
      "txt_in.refiner_blocks.1.mlp.fc_in");
  // Rules are applied to each variant by itself, never to each other's result; the spelling variants come first.
  EXPECT_THAT(hunyuan.of("transformer_blocks.0.ff.net.2.weight"),
              ElementsAre("transformer_blocks.0.ff.net.2", "transformer_blocks.0.ff.proj_out",
                          "double_blocks.0.img_mlp.fc_out"));
}

TEST(IgnoreList, TakesStarsAsAnythingAndDotsAsDots) {
  const IgnoreList list({"proj_out", "time_text_embed*", "blocks.*.norm", "layer_(1|2)"},
                        "config.json");
  EXPECT_TRUE(list.matches({"proj_out"}));
  EXPECT_FALSE(list.matches({"proj_out.x"}));
  EXPECT_TRUE(list.matches({"time_text_embed.linear_1"}));
  EXPECT_TRUE(list.matches({"other", "blocks.12.norm"}));
  EXPECT_FALSE(list.matches({"blocksX12.norm"}));
  EXPECT_TRUE(list.matches({"layer_2"}))
      << "other metacharacters keep their meaning in the builder";
  EXPECT_FALSE(list.matches({"layer_3"}));
}

Fp8Profile profile_of(const std::string& model_type,
                      const std::string& class_name,
                      FallbackSet set) {
  return choose_profile({.model_type = model_type, .fallback_set = set}, class_name, nullptr);
}

TEST(Fp8Profile, DocumentedSetIsForFlux1Itself) {
  const std::string flux = "FluxTransformer2DModel";
  EXPECT_EQ(profile_of("auto", flux, FallbackSet::documented).family_patterns.size(), 8u);
  EXPECT_EQ(profile_of("flux1", flux, FallbackSet::documented).family_patterns.size(), 8u);
  EXPECT_EQ(profile_of("flux1", "", FallbackSet::documented).family_patterns.size(), 8u);
  EXPECT_EQ(profile_of("flux1", flux, FallbackSet::upstream).family_patterns.size(), 7u);
  EXPECT_EQ(profile_of("flux1", "HunyuanVideoTransformer3DModel", FallbackSet::documented)
                .family_patterns.size(),
            7u);
  EXPECT_EQ(profile_of("none", flux, FallbackSet::documented).family_patterns.size(), 0u);
}

TEST(Fp8Profile, AutoTakesTheClassesThatHaveAProfile) {
  const auto family = [](const char* class_name) {
    return profile_of("auto", class_name, FallbackSet::upstream).family;
  };
  EXPECT_EQ(family("Flux2Transformer2DModel"), &flux2_family());
  EXPECT_EQ(family("HunyuanVideoTransformer3DModel"), &hunyuan_video_family());
  EXPECT_EQ(family("QwenImageTransformer2DModel"), &qwen_image_family());
  EXPECT_EQ(family("LTX2VideoTransformer3DModel"), nullptr)
      << "only the merged export has it by itself";
  EXPECT_EQ(choose_profile({}, "X0Model", &ltx2_family()).family, &ltx2_family());
  EXPECT_EQ(family(""), nullptr);
  EXPECT_TRUE(profile_of("auto", "WanTransformer3DModel", FallbackSet::upstream).empty());
}

TEST(Fp8Profile, RuntimeNamesComeWithTheClassWhateverTheType) {
  EXPECT_FALSE(profile_of("none", "HunyuanVideoTransformer3DModel", FallbackSet::upstream)
                   .runtime_names.empty());
  EXPECT_FALSE(profile_of("hunyuan-video", "FluxTransformer2DModel", FallbackSet::upstream)
                   .runtime_names.empty());
  EXPECT_TRUE(
      profile_of("auto", "FluxTransformer2DModel", FallbackSet::upstream).runtime_names.empty());
}

TEST(Fp8Profile, RefusesUnknownSpellings) {
  EXPECT_EQ(code_of([] { profile_of("flux3", "", FallbackSet::upstream); }), "usage");
  EXPECT_EQ(code_of([] { parse_fallback_set("both"); }), "usage");
  EXPECT_EQ(parse_fallback_set("upstream"), FallbackSet::upstream);
  EXPECT_THAT(fp8_model_types(),
              ElementsAre("auto", "flux1", "flux2", "ltx2", "hunyuan-video", "qwen-image", "none"));
}

TEST(Fp8Profile, SaysWhereAPatternIsWrong) {
  const auto error = error_of([] { compile_user_patterns({"fine", "a(b"}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(exit_code(error->code()), ExitCode::usage);
  EXPECT_THAT(error->what(), testing::HasSubstr("--keep-bf16-pattern: pattern 'a(b'"));
  EXPECT_THAT(error->what(), testing::HasSubstr("at position"));
}

TEST(Paths, FindTheTransformerFolderAndTheBackbone) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "hf/transformer");
  put_file(folder / "hf/transformer/config.json", "{}");
  EXPECT_EQ(resolve_transformer_dir(folder / "hf", "--x"), folder / "hf/transformer");
  EXPECT_EQ(resolve_transformer_dir(folder / "hf/transformer/", "--x"), folder / "hf/transformer/");
  put_file(folder / "hf/config.json", "{}");
  EXPECT_EQ(resolve_transformer_dir(folder / "hf", "--x"), folder / "hf")
      << "the folder itself first";
  put_file(folder / "hf/backbone.pt", "");
  EXPECT_EQ(resolve_backbone(folder / "hf"), folder / "hf/backbone.pt");
  put_file(folder / "hf/transformer/transformer.pt", "");
  const auto error = error_of([&] { resolve_backbone(folder / "hf/transformer"); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), testing::HasSubstr("transformer.pt"))
      << "it names what was probably meant";
}

TEST(Paths, OverlapKnowsNamesThatOnlyBeginAlike) {
  EXPECT_NO_THROW(check_overlap("/data/export-fp8", {"/data/export"}));
  EXPECT_EQ(code_of([] { check_overlap("/data/export/out", {"/data/export"}); }),
            "output_overlaps");
  EXPECT_EQ(code_of([] { check_overlap("/data", {"/data/export"}); }), "output_overlaps");
  EXPECT_EQ(code_of([] { resolve_output_dir("/"); }), "usage");
  EXPECT_EQ(code_of([] { resolve_output_dir(""); }), "usage");
}

}  // namespace
}  // namespace ditq::test
