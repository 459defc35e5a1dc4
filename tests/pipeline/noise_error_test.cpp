// The quality figure on the bundled pipeline: against diffusers' recorded predictions, and on a transformer that is
// quantized in some layers only.

#include "pipeline/noise_error.h"

#include <cmath>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "ops/distance.h"
#include "pipeline/tune.h"
#include "support/tensors.h"
#include "tensor/create.h"
#include "tensor/layer_switch.h"

namespace ditq {
namespace {

/// Two steps of 64 x 64 pixels: enough to tell transformers apart.
GenerateRequest small_request() {
  GenerateRequest out;
  out.sources.model_path = test::tiny_flux().string();
  out.prompts = {"a large red circle on a navy background",
                 "a small blue star on a gray background"};
  out.height = out.width = 64;
  out.num_inference_steps = 2;
  out.guidance_scale = 3.5;
  out.max_sequence_length = 64;
  out.run.device = "cpu";
  return out;
}

PipelineSources fp8_sources() {
  PipelineSources out;
  out.model_path = test::tiny_flux().string();
  out.components["transformer"] = (test::tiny_flux_fp8() / "transformer").string();
  return out;
}

TEST(NoiseError, OfTheBaselineItselfIsZero) {
  const GenerateRequest request = small_request();
  const auto pipeline = load_pipeline(request.sources, request.run);
  int steps = 0;
  const auto baseline = record_noise(*pipeline, request, [&] { ++steps; });
  EXPECT_EQ(steps, 4);
  ASSERT_EQ(baseline.size(), 2);
  EXPECT_EQ(baseline[1].request.seed, request.seed + 1);
  const NoiseError error = noise_error(*pipeline, baseline, [&] { ++steps; });
  EXPECT_EQ(steps, 8);
  EXPECT_EQ(error.noise_l2(), 0);
  EXPECT_NEAR(error.worst_cosine(), 1, 1e-12);
}

TEST(NoiseError, IsTheMeanOverPromptsAndSteps) {
  const NoiseError error{.l2 = {{0.1, 0.3}, {0.2, 0.6}}, .cosine = {{1, 0.9}, {0.8, 0.95}}};
  EXPECT_DOUBLE_EQ(error.noise_l2(), 0.3);
  EXPECT_EQ(error.worst_cosine(), 0.8);
  const Json json = to_json(error);
  EXPECT_DOUBLE_EQ(json["per_step"][1]["l2"].get<double>(), 0.45);
  EXPECT_EQ(json["per_step"][0]["cosine"], 0.8);
  EXPECT_EQ(json["prompts"], 2);
}

TEST(NoiseError, StartsEveryStepFromTheBaselinesLatents) {
  const GenerateRequest request = small_request();
  const auto pair = load_switched_pipeline(request.sources, fp8_sources(), request.run);
  const auto baseline = record_noise(*pair.pipeline, request, [] {});
  pair.layers->keep({});
  pair.pipeline->layers_changed();
  const NoiseError error = noise_error(*pair.pipeline, baseline, [] {});
  EXPECT_GT(error.noise_l2(), 0.001);
  EXPECT_LT(error.noise_l2(), 0.2);

  // By hand, for the second step of the second prompt.
  const NoiseBaseline& run = baseline[1];
  const Tensor found = pair.pipeline->predict_noise(run.request, run.states, [] {});
  const Deviation deviation = deviation_of(run.noise.select(1, 1), found.select(1, 1));
  EXPECT_EQ(error.l2[1][1], deviation.relative_l2);

  std::set<std::string> all;
  for (const auto& [module, layer] : pair.layers->layers()) all.insert(module);
  EXPECT_EQ(all.size(), 52);
  pair.layers->keep(all);
  EXPECT_EQ(noise_error(*pair.pipeline, baseline, [] {}).noise_l2(), 0);
}

TEST(NoiseError, SwitchedLayersEqualThoseOfThePipelineItself) {
  const GenerateRequest request = small_request();
  const auto pair = load_switched_pipeline(request.sources, fp8_sources(), request.run);
  const auto baseline = record_noise(*pair.pipeline, request, [] {});
  pair.layers->keep({});
  const auto itself = load_pipeline(fp8_sources(), request.run);
  EXPECT_EQ(noise_error(*pair.pipeline, baseline, [] {}).l2,
            noise_error(*itself, baseline, [] {}).l2);
}

TEST(NoiseError, RecordsWhatDiffusersPredicts) {
  const auto recorded = test::golden("golden/flux1-tiny/trajectory/p0_8steps_bf16.safetensors");
  const auto noise = test::golden("golden/flux1-tiny/noise.safetensors");
  if (!recorded || !noise) GTEST_SKIP() << "no larger goldens: set DITQ_TEST_DATA";
  GenerateRequest request = small_request();
  request.prompts.resize(1);
  request.height = request.width = 256;
  request.num_inference_steps = 8;
  request.latents = noise->string() + ":p0";
  const auto pipeline = load_pipeline(request.sources, request.run);
  const auto baseline = record_noise(*pipeline, request, [] {});
  const Tensor expected = test::load(*recorded, "noise_pred");
  for (std::int64_t step = 0; step < 8; ++step) {
    // Other kernels than diffusers': golden/flux1-tiny/README.md puts 0.0003 between two sets of them.
    EXPECT_GT(test::cosine(baseline[0].noise.select(1, step), expected.select(1, step)), 0.999)
        << step;
  }
}

TEST(Deviation, OfZerosAndNaN) {
  const Tensor zero = filled({4}, 0, at::kFloat);
  const Tensor one = filled({4}, 1, at::kFloat);
  EXPECT_EQ(deviation_of(zero, zero).relative_l2, 0);
  EXPECT_EQ(deviation_of(zero, zero).cosine, 1);
  EXPECT_TRUE(std::isinf(deviation_of(zero, one).relative_l2));
  EXPECT_EQ(deviation_of(one, zero).relative_l2, 1);
  EXPECT_EQ(deviation_of(one, zero).cosine, 0);
  EXPECT_DOUBLE_EQ(deviation_of(one, one.mul(-2)).relative_l2, 3);
  EXPECT_TRUE(std::isnan(deviation_of(one, filled({4}, std::nan(""), at::kFloat)).relative_l2));
}

TEST(Tune, FindsASetThatMeetsTheBarAndGoesOnFromItsLog) {
  const test::TemporaryFolder folder;
  TuneRequest request;
  request.generate = small_request();
  request.candidate = fp8_sources();
  request.require = "noise_l2<=0.03";
  request.group_by = "kind";
  request.psnr_prompts = 1;
  request.frontier_points = 3;
  request.max_search_runs = 6;
  request.log_file = folder / "log.jsonl";
  const TuneResult first = tune(request);
  EXPECT_LE(first.report["chosen"]["noise_l2"].get<double>(), 0.03);
  EXPECT_GT(first.report["sets"][0]["noise_l2"].get<double>(), 0.001);
  EXPECT_EQ(first.report["layers"], 52);
  const auto size = std::filesystem::file_size(request.log_file);
  const TuneResult again = tune(request);
  EXPECT_EQ(std::filesystem::file_size(request.log_file), size) << "something was measured twice";
  EXPECT_EQ(again.report, first.report);
  EXPECT_EQ(again.patterns, first.patterns);
}

}  // namespace
}  // namespace ditq
