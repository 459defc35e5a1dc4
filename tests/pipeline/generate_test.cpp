#include "pipeline/generate.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "format/safetensors.h"
#include "pipeline/memory_plan.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

const char* const kPrompt = "a large red circle on a navy background";

fs::path golden_file(const std::string& name) {
  return test::data("engine") / name;
}
/// Case p0 of the goldens, with 8 steps.
GenerateRequest golden_request(const std::string& dtype = "bf16") {
  GenerateRequest request;
  request.sources.model_path = test::tiny_flux().string();
  request.run.dtype = dtype;
  request.prompts = {kPrompt};
  request.seed = 0;
  request.height = 256;
  request.width = 256;
  request.num_inference_steps = 8;
  request.guidance_scale = 3.5;
  request.max_sequence_length = 64;
  request.latents = golden_file("noise.safetensors").string() + ":p0";
  return request;
}

/// A small, quick request.
GenerateRequest small_request() {
  GenerateRequest request = golden_request();
  request.latents.clear();
  request.height = 64;
  request.width = 48;
  request.num_inference_steps = 2;
  return request;
}

std::vector<Generation> run(const GenerateRequest& request) {
  const auto pipeline = load_pipeline(request.sources, request.run);
  return run_generations(*pipeline, request, /*keep_states=*/true);
}

ErrorCode error_of(const GenerateRequest& request) {
  try {
    run(request);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::check_failed;
}

TEST(Generate, DecodesInTilesWhereAskedFor) {
  GenerateRequest request = small_request();
  request.width = 320;  // tiles are 256 pixels wide
  const Picture whole = run(request).front().picture;
  request.run.vae_tiling = true;
  const Picture tiled = run(request).front().picture;
  EXPECT_EQ(tiled.width, 320);
  EXPECT_NE(tiled.pixels, whole.pixels);
  request.width = 256;
  const Picture small = run(request).front().picture;
  request.run.vae_tiling = false;
  EXPECT_EQ(run(request).front().picture.pixels, small.pixels);
}

TEST(MemoryPlan, TilesBoundWhatDecodingTakes) {
  AutoencoderKlConfig vae;
  vae.block_out_channels = {128, 256, 512, 512};
  vae.sample_size = 1024;
  const auto decoding = [&](std::int64_t side, bool tiled) {
    return plan_memory(0, Flux1Dims(), vae,
                       {.text_tokens = 512,
                        .image_tokens = side / 16 * (side / 16),
                        .height = side,
                        .width = side,
                        .steps = 28,
                        .tiled = tiled},
                       at::kBFloat16)
        .decoding;
  };
  // Whole pictures grow with their area; of tiles, only the picture itself does.
  EXPECT_EQ(decoding(4096, false), 16 * decoding(1024, false));
  EXPECT_LT(decoding(4096, true), 2 * decoding(1024, true));
}

TEST(Generate, F32TrajectoryAndPictureAreTheGoldenOnes) {
  const Generation generation = run(golden_request("fp32")).front();
  const Tensor golden = test::load(golden_file("p0_8steps_fp32.safetensors"), "latents");
  const std::vector<std::int64_t> steps{0, 3, 7};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_LE(test::max_abs(generation.trajectory.latents.select(1, steps[i]),
                            golden.select(1, static_cast<std::int64_t>(i))),
              1e-3)
        << steps[i];
  }
  // Every fourth row of the golden picture.
  const Tensor image = test::load(golden_file("p0_8steps_image.safetensors"), "image")[0]
                           .permute({1, 2, 0})
                           .contiguous();
  const Picture& picture = generation.picture;
  const auto row_bytes = static_cast<std::size_t>(picture.width * 3);
  ASSERT_EQ(image.sizes(), at::IntArrayRef({picture.height / 4, picture.width, 3}));
  const auto* golden_pixels = image.const_data_ptr<std::uint8_t>();
  int most = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(image.numel()); ++i) {
    const std::size_t row = i / row_bytes * 4;
    const int found = picture.pixels[row * row_bytes + i % row_bytes];
    most = std::max(most, std::abs(int{golden_pixels[i]} - found));
  }
  EXPECT_LE(most, 1);
}

/// Worst cosine over the steps of a free run of case p0.
double free_run_cosine(const GenerateRequest& request, const std::string& variant) {
  const Tensor states = run(request).front().trajectory.latents;
  const Tensor golden = test::load(golden_file("p0_8steps_" + variant + ".safetensors"), "latents");
  double worst = 1;
  for (std::int64_t i = 0; i < states.size(1); ++i) {
    worst = std::min(worst, test::cosine(states.select(1, i), golden.select(1, i)));
  }
  return worst;
}

TEST(Generate, Bf16StaysAsCloseAsOtherKernels) {
  // The goldens' "other kernels" row has 0.999994; another CPU's kernels are one more such set.
  EXPECT_GE(free_run_cosine(golden_request(), "bf16"), 0.99995);
}

TEST(Generate, EveryWayToNameTheFp8TransformerRunsTheSameWeights) {
  std::vector<GenerateRequest> requests(4, golden_request());
  requests[0].sources.components["transformer"] = (test::tiny_flux_fp8() / "transformer").string();
  requests[1].sources.components["transformer"] = test::tiny_flux_fp8().string();
  requests[2].sources.transformer_weights_path = (test::tiny_flux_fp8() / "transformer").string();
  requests[3].sources.transformer_weights_path =
      (test::tiny_flux_fp8() / "transformer/diffusion_pytorch_model.safetensors").string();
  EXPECT_GE(free_run_cosine(requests[0], "fp8-none"), 0.999);
  std::vector<Picture> pictures;
  for (GenerateRequest& request : requests) {
    request.num_inference_steps = 2;
    const auto pipeline = load_pipeline(request.sources, request.run);
    EXPECT_EQ(pipeline->description().scheme, "fp8");
    pictures.push_back(run_generations(*pipeline, request, false).front().picture);
  }
  for (const Picture& picture : pictures) EXPECT_EQ(picture.pixels, pictures.front().pixels);
}

TEST(Generate, ATransformerMayBeASingleFileWithoutConfig) {
  const test::TemporaryFolder folder;
  const std::string file = folder / "transformer.safetensors";
  std::filesystem::copy_file(test::tiny_flux() / "transformer/diffusion_pytorch_model.safetensors",
                             file);
  GenerateRequest request = small_request();
  const Picture expected = run(request).front().picture;
  request.sources.components["transformer"] = file;
  EXPECT_EQ(run(request).front().picture.pixels, expected.pixels);
}

TEST(Generate, SameSeedGivesTheSameBytes) {
  const GenerateRequest request = small_request();
  EXPECT_EQ(run(request).front().picture.pixels, run(request).front().picture.pixels);
}

TEST(Generate, InitialLatentsAreThoseOfTheSeed) {
  GenerateRequest request = small_request();
  for (const char* dtype : {"fp32", "bf16"}) {
    request.run.dtype = dtype;
    const Tensor golden =
        test::load(golden_file("seed_noise.safetensors"),
                   std::string("seed0.64x48.") + (dtype[0] == 'f' ? "f32" : "bf16"));
    EXPECT_EQ(test::max_abs(run(request).front().trajectory.initial_latents, golden), 0);
  }
}

TEST(Generate, CountsOutputsAndPrompts) {
  GenerateRequest request = small_request();
  request.prompts = {kPrompt, "a small green star on a gray background"};
  request.num_outputs_per_prompt = 2;
  request.seed = 7;
  const std::vector<Generation> all = run(request);
  ASSERT_EQ(all.size(), 4);
  EXPECT_EQ(all[0].seed, 7);
  EXPECT_EQ(all[1].seed, 8);
  EXPECT_EQ(all[2].prompt, request.prompts[1]);
  EXPECT_NE(all[0].picture.pixels, all[1].picture.pixels);
  EXPECT_NE(all[0].picture.pixels, all[2].picture.pixels);
  GenerateRequest alone = small_request();
  alone.seed = 8;
  EXPECT_EQ(run(alone).front().picture.pixels, all[1].picture.pixels);
}

TEST(Generate, RunsOddSizesStepsGuidanceAndLengths) {
  struct Case {
    std::int64_t height, width, steps, length;
    double guidance;
  };
  for (const Case& c :
       {Case{16, 16, 1, 64, 3.5}, Case{64, 160, 1, 512, 0}, Case{100, 70, 2, 64, 3.5},
        Case{32, 32, 50, 1, 3.5}, Case{48, 32, 3, 256, 100}}) {
    GenerateRequest request = small_request();
    request.height = c.height;
    request.width = c.width;
    request.num_inference_steps = c.steps;
    request.guidance_scale = c.guidance;
    request.max_sequence_length = c.length;
    const Generation generation = run(request).front();
    EXPECT_EQ(generation.picture.height, c.height / 16 * 16);
    EXPECT_EQ(generation.picture.width, c.width / 16 * 16);
    EXPECT_EQ(generation.trajectory.latents.size(1), c.steps);
    EXPECT_EQ(generation.timings.denoise_steps.size(), static_cast<std::size_t>(c.steps));
  }
}

TEST(Generate, NegativePromptCountsOnlyWithTrueCfg) {
  GenerateRequest request = small_request();
  const auto plain = run(request).front().picture.pixels;
  request.negative_prompt = "a small green star on a gray background";
  EXPECT_EQ(run(request).front().picture.pixels, plain);
  request.true_cfg_scale = 4.0;
  EXPECT_NE(run(request).front().picture.pixels, plain);
}

TEST(Generate, WritesPictureTrajectoryAndPerf) {
  const test::TemporaryFolder folder;
  GenerateRequest request = small_request();
  request.output_path = folder / "out";
  request.return_trajectory_latents = true;
  request.perf_dump_path = folder / "perf/perf.json";
  request.command = {"ditq", "generate"};
  const GenerateResult result = generate(request);
  ASSERT_EQ(result.pictures.size(), 1);
  EXPECT_EQ(read_png(result.pictures.front()).width, 48);

  const SafetensorsFile trajectory = SafetensorsFile::open(result.trajectories.front());
  EXPECT_EQ(trajectory.find("latents")->shape, (Shape{1, 2, 12, 64}));
  EXPECT_EQ(trajectory.find("latents")->dtype, Dtype::bf16);
  EXPECT_EQ(trajectory.find("initial_latents")->shape, (Shape{1, 12, 64}));
  EXPECT_EQ(trajectory.find("timesteps")->shape, Shape{2});
  EXPECT_EQ(trajectory.find("sigmas")->dtype, Dtype::f32);
  EXPECT_EQ(parse_json(trajectory.metadata.at("request"), "request")["prompt"], kPrompt);

  const Json perf = read_json(request.perf_dump_path);
  std::vector<std::string> keys;
  for (const auto& [key, value] : perf.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"timestamp", "request_id", "commit_hash", "tag",
                                            "total_duration_ms", "steps", "denoise_steps_ms",
                                            "memory_checkpoints", "meta"}));
  EXPECT_EQ(perf["denoise_steps_ms"].size(), 2);
  EXPECT_GT(perf["memory_checkpoints"]["after_forward"]["peak_reserved_mb"].get<double>(), 10);
  EXPECT_EQ(perf["meta"]["scheme"], "bf16");
}

TEST(Generate, LatentsOfATrajectoryStartAnotherRun) {
  const test::TemporaryFolder folder;
  GenerateRequest request = small_request();
  request.output_path = folder / "out";
  request.return_trajectory_latents = true;
  const GenerateResult first = generate(request);
  request.return_trajectory_latents = false;
  request.latents = first.trajectories.front() + ":initial_latents";
  request.seed = 99;
  const GenerateResult second = generate(request);
  EXPECT_EQ(read_png(first.pictures.front()).pixels, read_png(second.pictures.front()).pixels);
}

TEST(Generate, RefusesWhatCannotRun) {
  const auto changed = [](const auto& change) {
    GenerateRequest request = small_request();
    change(request);
    return error_of(request);
  };
  EXPECT_EQ(changed([](auto& r) { r.sources.model_path = "nowhere"; }), ErrorCode::file_not_found);
  EXPECT_EQ(changed([](auto& r) { r.sources.components["transformer"] = "nowhere"; }),
            ErrorCode::file_not_found);
  EXPECT_EQ(changed([](auto& r) { r.sources.components["unet"] = "x"; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.run.device = "cuda"; }), ErrorCode::unsupported);
  EXPECT_EQ(changed([](auto& r) { r.run.dtype = "fp16"; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.height = 8; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.width = -64; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.width = 1 << 20; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.num_inference_steps = 0; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.max_sequence_length = 513; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.prompts = {"\xff"}; }), ErrorCode::bad_text);
  EXPECT_EQ(changed([](auto& r) { r.prompts.clear(); }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.latents = golden_file("noise.safetensors").string(); }),
            ErrorCode::wrong_shape);
  EXPECT_EQ(changed([](auto& r) { r.latents = golden_file("noise.safetensors").string() + ":p9"; }),
            ErrorCode::missing_tensor);
}

/// A copy of the tiny pipeline whose parts are links, so that one of them can be replaced.
class LinkedPipeline {
 public:
  LinkedPipeline() {
    for (const auto& entry : fs::directory_iterator(test::tiny_flux())) {
      fs::create_symlink(entry.path(), folder_.path() / entry.path().filename());
    }
  }
  /// Replaces a component by a real copy and returns its folder.
  fs::path own(const std::string& component) {
    const fs::path path = folder_.path() / component;
    fs::remove(path);
    fs::copy(test::tiny_flux() / component, path, fs::copy_options::recursive);
    return path;
  }
  void drop(const std::string& component) { fs::remove(folder_.path() / component); }
  GenerateRequest request() const {
    GenerateRequest request = small_request();
    request.sources.model_path = folder_.path().string();
    return request;
  }

 private:
  test::TemporaryFolder folder_;
};

TEST(Generate, NamesMissingComponents) {
  for (const char* component : {"transformer", "text_encoder", "text_encoder_2", "tokenizer",
                                "tokenizer_2", "scheduler", "vae"}) {
    LinkedPipeline pipeline;
    pipeline.drop(component);
    EXPECT_EQ(error_of(pipeline.request()), ErrorCode::file_not_found) << component;
  }
}

void change_config(const fs::path& path, const Json& change) {
  Json config = read_json(path.string());
  config.update(change);
  write_text(path.string(), dump_json(config, {.indent = 2}));
}

TEST(Generate, RefusesConfigsThatContradictTheWeights) {
  const auto code = [](const Json& change, const char* component = "transformer") {
    LinkedPipeline pipeline;
    change_config(pipeline.own(component) / "config.json", change);
    return error_of(pipeline.request());
  };
  EXPECT_EQ(code({{"num_layers", 3}}), ErrorCode::family_mismatch);
  EXPECT_EQ(code({{"guidance_embeds", false}}), ErrorCode::family_mismatch);
  EXPECT_EQ(code({{"axes_dims_rope", {16, 56, 58}}}), ErrorCode::bad_config);
  EXPECT_EQ(code({{"_class_name", "WanTransformer3DModel"}}), ErrorCode::family_mismatch);
  EXPECT_EQ(code({{"quantization_config", {{"quant_method", "modelopt"}, {"quant_algo", "FP8"}}}}),
            ErrorCode::not_quantized);
  EXPECT_EQ(code({{"quantization_config", {{"quant_method", "gptq"}}}}),
            ErrorCode::wrong_quant_method);
  EXPECT_EQ(code({{"num_hidden_layers", 3}}, "text_encoder"), ErrorCode::family_mismatch);
  EXPECT_EQ(code({{"d_ff", 128}}, "text_encoder_2"), ErrorCode::family_mismatch);
  EXPECT_EQ(code({{"block_out_channels", {32, 64, 96, 128}}}, "vae"), ErrorCode::family_mismatch);
}

TEST(Generate, NamesAPictureThatIsNotANumber) {
  LinkedPipeline pipeline;
  const fs::path file = pipeline.own("vae") / "diffusion_pytorch_model.safetensors";
  const SafetensorsFile opened = SafetensorsFile::open(file.string());
  std::string bytes = read_text(file.string());
  const TensorInfo* bias = opened.find("decoder.conv_out.bias");
  ASSERT_NE(bias, nullptr);
  bytes[bias->offset] = '\xff';
  bytes[bias->offset + 1] = '\x7f';
  write_text(file.string(), bytes);
  EXPECT_EQ(error_of(pipeline.request()), ErrorCode::not_a_number);
}

}  // namespace
}  // namespace ditq
