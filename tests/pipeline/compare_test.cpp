#include "pipeline/compare.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "format/safetensors.h"
#include "media/picture.h"
#include "support/pictures.h"
#include "support/tensors.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::string run_file(const std::string& variant) {
  return (test::data("engine") / ("p0_8steps_" + variant + ".safetensors")).string();
}

CompareRequest files(const std::string& reference, const std::string& candidate) {
  CompareRequest out;
  out.reference_file = reference;
  out.candidate_file = candidate;
  return out;
}

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> out;
  for (const auto& [key, value] : object.items()) out.push_back(key);
  return out;
}

/// A picture of one colour, with one other pixel where asked for.
std::string write_picture(const std::string& path,
                          std::int64_t width,
                          std::int64_t height,
                          std::uint8_t first = 50) {
  Picture picture{.width = width, .height = height, .pixels = {}};
  picture.pixels.assign(static_cast<std::size_t>(width * height * 3), 50);
  picture.pixels.front() = first;
  write_png(path, picture);
  return path;
}

/// A file of one F32 tensor of ones.
std::string write_tensor(const std::string& path, const std::string& name, const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  const std::vector<float> ones(static_cast<std::size_t>(count), 1.0F);
  write_safetensors(path, {{name, Dtype::f32, shape, std::as_bytes(std::span(ones))}}, {});
  return path;
}

/// The error of a comparison, with its code checked.
std::string refusal(const CompareRequest& request, ErrorCode code) {
  try {
    compare(request);
  } catch (const Error& error) {
    EXPECT_EQ(name(error.code()), name(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(CompareFiles, MeasuresTrajectoriesAsSglangDoes) {
  const CompareResult found = compare(files(run_file("bf16"), run_file("fp8")));
  const Json expected =
      read_json((test::data("pipeline") / "metrics_p0_8steps_fp8_vs_bf16.json").string());
  const Json& golden = expected["trajectory_metrics"]["selected_step_metrics"];
  EXPECT_THAT(keys(found.report),
              ElementsAre("reference", "candidate", "settings", "sides", "trajectory_metrics",
                          "runs", "aggregate", "gate", "versions", "command"));
  EXPECT_EQ(found.report["trajectory_metrics"]["trajectory_shape"], Json({1, 8, 256, 64}));
  EXPECT_EQ(found.brief["trajectory_selected_step"], 7);
  // One rounding of an f32 sum: tests/pipeline/metrics_test.cpp looks closer.
  EXPECT_NEAR(found.brief["trajectory_cosine"].get<double>(),
              golden["cosine_similarity"].get<double>(), 1e-6);
  EXPECT_NEAR(found.brief["trajectory_mae"].get<double>(), golden["mae"].get<double>(), 1e-7);
  EXPECT_TRUE(found.brief["frame0_psnr_db"].is_null());
  EXPECT_TRUE(found.brief["reference_avg_generation_time_s"].is_null());
}

TEST(CompareFiles, PrintsSglangsShortObject) {
  EXPECT_THAT(keys(compare(files(run_file("bf16"), run_file("bf16"))).brief),
              ElementsAre("output_json", "trajectory_selected_step",
                          "reference_avg_generation_time_s", "candidate_avg_generation_time_s",
                          "trajectory_cosine", "trajectory_mae", "frame0_psnr_db", "frame0_mae"));
}

TEST(CompareFiles, MeasuresPictures) {
  const test::TemporaryFolder folder;
  const auto request = files(write_picture(folder / "a.png", 16, 8),
                             write_picture(folder / "b.PNG", 16, 8, /*first=*/60));
  const CompareResult found = compare(request);
  EXPECT_THAT(keys(found.report),
              ElementsAre("reference", "candidate", "settings", "sides", "output_metrics", "runs",
                          "aggregate", "gate", "versions", "command"));
  EXPECT_EQ(found.report["output_metrics"]["num_frames"], 1);
  // One of 384 values is 10 away: mse 100 / 384.
  EXPECT_NEAR(found.brief["frame0_psnr_db"].get<double>(), 53.97412, 1e-5);
  EXPECT_NEAR(found.brief["frame0_mae"].get<double>(), 10.0 / 384, 1e-8);
  EXPECT_TRUE(found.brief["trajectory_cosine"].is_null());
}

TEST(CompareFiles, WritesTheReportAsPythonWould) {
  const test::TemporaryFolder folder;
  const std::string picture = write_picture(folder / "a.png", 8, 8);
  CompareRequest request = files(picture, picture);
  const std::string place = folder / "new/folder/report.json";
  request.output_json = fs::relative(place).string();
  const CompareResult found = compare(request);
  const std::string text = read_text(place);
  EXPECT_THAT(text, StartsWith("{\n  \"aggregate\": "));
  EXPECT_THAT(text, HasSubstr("\"psnr_db\": Infinity"));
  EXPECT_EQ(text.back(), '}');
  EXPECT_EQ(dump_json(parse_json(text, "report"), {.sort_keys = true}),
            dump_json(found.report, {.sort_keys = true}));
  EXPECT_EQ(found.brief["output_json"], fs::canonical(place).string());
}

TEST(CompareFiles, HoldsTheBars) {
  CompareRequest request = files(run_file("bf16"), run_file("fp8"));
  request.require = "cosine>=0.999,last.mae<=0.02";
  EXPECT_THAT(compare(request).missed, IsEmpty());
  request.require = "cosine>=0.9999,mae<=0.01,max_abs<=1";
  EXPECT_THAT(compare(request).missed, ElementsAre(StartsWith("cosine: worst step 7 has 0.99907"),
                                                   StartsWith("mae: worst step 7 has 0.01521")));
}

TEST(CompareFiles, WritesTheReportWhenBarsAreMissed) {
  const test::TemporaryFolder folder;
  CompareRequest request = files(run_file("bf16"), run_file("fp8"));
  request.require = "cosine>=1.1";
  request.output_json = folder / "report.json";
  EXPECT_EQ(compare(request).missed.size(), 1);
  EXPECT_TRUE(fs::exists(request.output_json));
}

TEST(CompareFiles, MeasuresSsimWhenAsked) {
  const test::TemporaryFolder folder;
  CompareRequest request = files(write_picture(folder / "a.png", 16, 8),
                                 write_picture(folder / "b.png", 16, 8, /*first=*/250));
  request.require = "ssim>=0.9999";
  EXPECT_THAT(compare(request).missed, ElementsAre(StartsWith("ssim: worst frame 0 has 0.9")));
  request = files(write_picture(folder / "c.png", 16, 6), write_picture(folder / "d.png", 16, 6));
  request.require = "ssim>=0.5";
  EXPECT_THAT(refusal(request, ErrorCode::usage), HasSubstr("at least 7 x 7"));
}

TEST(CompareFiles, SelectsAStep) {
  CompareRequest request = files(run_file("bf16"), run_file("fp8"));
  request.trajectory_step_index = -8;
  EXPECT_EQ(compare(request).brief["trajectory_selected_step"], 0);
  for (const std::int64_t outside : {8, -9}) {
    request.trajectory_step_index = outside;
    EXPECT_THAT(refusal(request, ErrorCode::usage), HasSubstr("-8 to 7"));
  }
}

TEST(CompareFiles, RefusesBarsThatTheKindDoesNotGive) {
  const test::TemporaryFolder folder;
  const std::string picture = write_picture(folder / "a.png", 8, 8);
  CompareRequest pictures = files(picture, picture);
  pictures.require = "cosine>=0.9";
  refusal(pictures, ErrorCode::usage);
  CompareRequest trajectories = files(run_file("bf16"), run_file("fp8"));
  trajectories.require = "psnr>=28";
  refusal(trajectories, ErrorCode::usage);
}

TEST(CompareFiles, RefusesWhatItCannotRead) {
  const test::TemporaryFolder folder;
  const std::string picture = write_picture(folder / "a.png", 8, 8);
  write_text(folder / "a.jpg", "x");
  write_text(folder / "broken.png", "x");
  write_text(folder / "broken.safetensors", "x");
  write_text(folder / "a.tiff", "x");
  write_text(folder / "a.webp", std::string("RIFF\x10\0\0\0WEBPVP8 ", 16));
  refusal(files(picture, folder / "a.jpg"), ErrorCode::bad_picture);
  EXPECT_THAT(refusal(files(picture, folder / "a.tiff"), ErrorCode::unsupported),
              HasSubstr(".tiff"));
  EXPECT_THAT(refusal(files(picture, folder / "a.webp"), ErrorCode::unsupported),
              HasSubstr("WebP"));
  EXPECT_THAT(refusal(files(picture, folder.path().string()), ErrorCode::usage),
              HasSubstr("found a video"));
  refusal(files(picture, folder / "absent.png"), ErrorCode::file_not_found);
  refusal(files(picture, folder / "broken.png"), ErrorCode::bad_picture);
  refusal(files(run_file("bf16"), folder / "broken.safetensors"), ErrorCode::header_too_small);
  refusal(files(picture, ""), ErrorCode::usage);
  EXPECT_THAT(refusal(files(picture, run_file("bf16")), ErrorCode::usage),
              HasSubstr("a picture as"));
}

TEST(CompareFiles, NamesBothSidesThatDiffer) {
  const test::TemporaryFolder folder;
  const std::string small = write_tensor(folder / "small.safetensors", "latents", {1, 2, 4});
  const std::string large = write_tensor(folder / "large.safetensors", "latents", {1, 3, 4});
  const std::string shapes = refusal(files(small, large), ErrorCode::wrong_shape);
  EXPECT_THAT(shapes, HasSubstr("[1, 2, 4] as in " + small));
  EXPECT_THAT(shapes, HasSubstr("[1, 3, 4] (" + large));
  const std::string sizes =
      refusal(files(write_picture(folder / "a.png", 8, 16), write_picture(folder / "b.png", 16, 8)),
              ErrorCode::wrong_shape);
  EXPECT_THAT(sizes, HasSubstr("8 x 16 as in"));
  EXPECT_THAT(sizes, HasSubstr("b.png"));
}

TEST(CompareFiles, RefusesFilesWithoutATrajectory) {
  const test::TemporaryFolder folder;
  const std::string other = write_tensor(folder / "other.safetensors", "weights", {2, 2});
  EXPECT_THAT(refusal(files(other, other), ErrorCode::missing_tensor), HasSubstr("latents"));
  for (const Shape& shape : {Shape{6}, Shape{}, Shape{1, 0, 4}}) {
    const std::string flat = write_tensor(folder / "flat.safetensors", "latents", shape);
    EXPECT_THAT(refusal(files(flat, flat), ErrorCode::wrong_shape), HasSubstr(flat));
  }
  const std::vector<std::int64_t> ids(4, 1);
  write_safetensors(folder / "ids.safetensors",
                    {{"latents", Dtype::i64, {1, 4}, std::as_bytes(std::span(ids))}}, {});
  refusal(files(folder / "ids.safetensors", folder / "ids.safetensors"), ErrorCode::wrong_dtype);
}

TEST(CompareFiles, LeavesOutTimestepsOfOtherSteps) {
  const test::TemporaryFolder folder;
  const std::vector<float> values(4, 1.0F);
  const Bytes bytes = std::as_bytes(std::span(values));
  write_safetensors(
      folder / "last.safetensors",
      {{"latents", Dtype::f32, {1, 1, 4}, bytes}, {"timesteps", Dtype::f32, {4}, bytes}}, {});
  const CompareResult found =
      compare(files(folder / "last.safetensors", folder / "last.safetensors"));
  const Json& step = found.report["trajectory_metrics"]["per_step_metrics"][0];
  EXPECT_TRUE(step["reference_timestep"].is_null());
  EXPECT_EQ(step["cosine_similarity"], 1.0);
}

TEST(CompareFiles, RefusesPlacesThatCannotBeWritten) {
  const test::TemporaryFolder folder;
  CompareRequest request = files(run_file("bf16"), run_file("fp8"));
  request.output_json = folder.path().string();
  refusal(request, ErrorCode::storage);
  write_text(folder / "file", "x");
  request.output_json = folder / "file/report.json";
  refusal(request, ErrorCode::storage);
  request.output_json.clear();
  request.save_output_dir = folder / "pictures";
  refusal(request, ErrorCode::usage);
}

TEST(CompareFiles, FailsBlankNoisyAndShiftedPictures) {
  const test::TemporaryFolder folder;
  const Picture good = test::disc_picture(64);
  write_png(folder / "good.png", good);
  CompareRequest request = files(folder / "good.png", folder / "bad.png");
  request.require = "psnr>=28,ssim>=0.95,pixel_mae<=8";
  const auto judged = [&](const Picture& bad) {
    write_png(folder / "bad.png", bad);
    return compare(request);
  };
  CompareResult found = judged(test::flat_picture(64, 15, 20, 80));
  EXPECT_THAT(found.findings, ElementsAre(HasSubstr("frame 0 is blank: every pixel is #0f1450")));
  EXPECT_THAT(found.missed, Not(IsEmpty()));
  EXPECT_FALSE(found.report["gate"]["passed"].get<bool>());

  Picture noisy = good;
  const Picture noise = test::noise_picture(64);
  for (std::size_t i = 0; i < noisy.pixels.size(); ++i) {
    noisy.pixels[i] = static_cast<std::uint8_t>((noisy.pixels[i] * 2 + noise.pixels[i]) / 3);
  }
  found = judged(noisy);
  EXPECT_THAT(found.findings, IsEmpty());
  EXPECT_THAT(found.missed,
              Contains(AllOf(StartsWith("psnr: worst frame 0 has "), HasSubstr("(missed by "))));

  found = judged(test::disc_picture(64, /*shift=*/6));
  EXPECT_THAT(found.findings, IsEmpty());
  EXPECT_THAT(found.missed, Contains(StartsWith("psnr: worst frame 0 has ")));

  found = judged(good);
  EXPECT_THAT(found.missed, IsEmpty());
  EXPECT_TRUE(found.report["gate"]["passed"].get<bool>());
  EXPECT_EQ(found.report["gate"]["bars"].size(), 3);
}

TEST(CompareFiles, FindsDefectsWithoutBars) {
  const test::TemporaryFolder folder;
  write_png(folder / "good.png", test::disc_picture(64));
  write_png(folder / "noise.png", test::noise_picture(64));
  EXPECT_THAT(compare(files(folder / "good.png", folder / "noise.png")).findings,
              ElementsAre(HasSubstr("noise")));
  EXPECT_THAT(compare(files(folder / "noise.png", folder / "noise.png")).findings, IsEmpty());
}

TEST(CompareFiles, FindsLatentsThatAreNoNumbers) {
  const test::TemporaryFolder folder;
  std::vector<float> values{1, 2, 3, 4, 5, 6};
  const auto write = [&](const std::string& name) {
    write_safetensors(folder / name,
                      {{"latents", Dtype::f32, {1, 3, 2}, std::as_bytes(std::span(values))}}, {});
    return folder / name;
  };
  const std::string good = write("good.safetensors");
  values[3] = std::numeric_limits<float>::quiet_NaN();
  const CompareResult found = compare(files(good, write("bad.safetensors")));
  EXPECT_THAT(found.findings,
              ElementsAre(HasSubstr("after step 1 are no numbers: 1 of 2 values are NaN")));
  const Json& findings = found.report["runs"][0]["picture_findings"];
  EXPECT_EQ(findings["candidate"][0]["kind"], "non_finite");
  EXPECT_EQ(findings["candidate"][0]["step"], 1);
  EXPECT_EQ(findings["reference"].size(), 0);
}

TEST(CompareFiles, ReportsTheRelativeError) {
  const CompareResult found = compare(files(run_file("bf16"), run_file("fp8")));
  const Json& steps = found.report["trajectory_metrics"]["per_step_metrics"];
  const TensorInfo latents = *SafetensorsFile::open(run_file("bf16")).find("latents");
  const Tensor last = from_file(latents).select(1, 7).to(at::kDouble);
  EXPECT_NEAR(steps[7]["relative_l2"].get<double>(),
              steps[7]["l2"].get<double>() / last.norm().item<double>(), 1e-6);
  EXPECT_EQ(found.report["aggregate"]["relative_l2"]["worst"], steps[7]["relative_l2"]);
  EXPECT_TRUE(found.report["aggregate"]["relative_l2"]["confidence_95"].is_null());
}

TEST(CompareFiles, ComparesFoldersOfFrames) {
  const test::TemporaryFolder folder;
  for (const char* side : {"a", "b"}) {
    fs::create_directory(folder / side);
    for (int i = 0; i < 11; ++i) {
      const Picture frame = test::rule_picture(20, 9, *side == 'b' && i == 7 ? 40 : i);
      write_png(folder / (std::string(side) + "/frame_" + std::to_string(i) + ".png"), frame);
    }
  }
  const CompareResult found = compare(files(folder / "a", folder / "b"));
  const Json& metrics = found.report["output_metrics"];
  EXPECT_EQ(metrics["num_frames"], 11);
  EXPECT_EQ(metrics["mid_frame_index"], 5);
  EXPECT_EQ(metrics["frame0_metrics"]["mae"], 0.0);
  EXPECT_EQ(found.report["aggregate"]["psnr"]["worst_frame"], 7);
  ASSERT_EQ(found.pictures.size(), 3);
  EXPECT_EQ(found.pictures[1].frame, "middle");
  EXPECT_EQ(found.pictures[1].reference.pixels, test::rule_picture(20, 9, 5).pixels);
  EXPECT_EQ(found.pictures[2].frame, "last");
  EXPECT_EQ(found.pictures[2].candidate.pixels, test::rule_picture(20, 9, 10).pixels);

  fs::remove(folder / "b/frame_10.png");
  EXPECT_THAT(refusal(files(folder / "a", folder / "b"), ErrorCode::wrong_shape),
              HasSubstr("numbers of frames"));
}

#ifdef DITQ_HAS_VIDEO
TEST(CompareFiles, ComparesVideosWithFoldersOfTheirFrames) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder / "frames");
  std::vector<Picture> frames;
  for (std::int64_t i = 0; i < 6; ++i) {
    frames.push_back(test::rule_picture(20, 9, i));
    write_png(folder / ("frames/" + std::to_string(i) + ".png"), frames.back());
  }
  write_text(folder / "a.avi", test::avi_of(frames));
  CompareRequest request = files(folder / "a.avi", folder / "frames");
  request.require = "ssim>=1,pixel_mae<=0";
  const CompareResult found = compare(request);
  EXPECT_THAT(found.missed, IsEmpty());
  EXPECT_EQ(found.report["output_metrics"]["num_frames"], 6);
  frames[4] = test::flat_picture(20, 1, 2, 3);
  frames[4].height = 9;
  frames[4].pixels.resize(20 * 9 * 3);
  write_text(folder / "b.avi", test::avi_of(frames));
  EXPECT_THAT(compare(files(folder / "a.avi", folder / "b.avi")).findings,
              ElementsAre(HasSubstr("frame 4 is blank: every pixel is #010203")));
}
#endif

/// Two steps of 64 x 64 on the bundled pipeline: enough to see both sides run.
CompareRequest checkpoints() {
  CompareRequest out;
  out.generate.sources.model_path = test::tiny_flux().string();
  out.generate.prompts = {"a large red circle on a navy background"};
  out.generate.seed = 7;
  out.generate.height = 64;
  out.generate.width = 64;
  out.generate.num_inference_steps = 2;
  out.generate.max_sequence_length = 64;
  out.reference = out.generate.sources;
  out.candidate = out.generate.sources;
  out.server_kwargs = {{"reference", {{"num_gpus", 1}}}, {"candidate", {{"num_gpus", 1}}}};
  return out;
}

/// Makes the last layer's bias NaN in place, where the file holds it.
void break_bias(const std::string& path) {
  std::uint64_t offset = 0;
  {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const TensorInfo* bias = file.find("proj_out.bias");
    if (bias == nullptr) return;
    offset = bias->offset;
  }
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.write("\xc0\x7f", 2);  // a NaN of BF16
}

TEST(CompareCheckpoints, FindsNoDistanceBetweenEqualOnes) {
  CompareRequest request = checkpoints();
  request.require = "mae<=0,max_abs<=0,psnr>=100,ssim>=1,cosine>=0.999999";
  const CompareResult found = compare(request);
  EXPECT_THAT(found.missed, IsEmpty());
  EXPECT_EQ(found.brief["trajectory_selected_step"], 1);
  EXPECT_TRUE(found.brief["output_json"].is_null());
}

TEST(CompareCheckpoints, ReportsUnderSglangsKeys) {
  const test::TemporaryFolder folder;
  CompareRequest request = checkpoints();
  request.candidate.components["transformer"] = (test::tiny_flux_fp8() / "transformer").string();
  request.warmup_runs = 1;
  request.measure_runs = 2;
  request.save_output_dir = folder / "pictures";
  request.require = "cosine>=0.9";
  const CompareResult found = compare(request);
  const Json& report = found.report;
  EXPECT_THAT(
      keys(report),
      ElementsAre("model_path", "prompt", "seed", "warmup_runs", "measure_runs", "server_kwargs",
                  "backend_overrides", "sampling_kwargs", "reference_generation",
                  "candidate_generation", "settings", "sides", "trajectory_metrics",
                  "output_metrics", "runs", "aggregate", "gate", "versions", "command"));
  EXPECT_EQ(report["server_kwargs"], request.server_kwargs);
  EXPECT_EQ(dump_json(report["sampling_kwargs"]),
            R"({"width": 64, "height": 64, "num_frames": null, "num_inference_steps": 2, )"
            R"("guidance_scale": 3.5, "guidance_scale_2": null})");
  for (const char* side : {"reference", "candidate"}) {
    const Json& run = report[std::string(side) + "_generation"];
    EXPECT_THAT(
        keys(run),
        ElementsAre("fp4_gemm_backend", "warmup_runs", "measure_runs", "generation_time_s",
                    "avg_generation_time_s", "per_run_generation_time_s", "peak_memory_mb",
                    "max_peak_memory_mb", "per_run_peak_memory_mb", "total_duration_ms",
                    "avg_total_duration_ms", "per_run_total_duration_ms", "output_file_path"));
    EXPECT_EQ(run["warmup_runs"], 1);
    EXPECT_EQ(run["per_run_generation_time_s"].size(), 2);
    EXPECT_EQ(run["per_run_generation_time_s"][1], run["generation_time_s"]);
    EXPECT_GT(run["peak_memory_mb"], 0.0);
    const std::string picture = run["output_file_path"];
    EXPECT_EQ(fs::path(picture).filename(), std::string(side) + ".png");
    EXPECT_EQ(read_png(picture).width, 64);
  }
  EXPECT_THAT(found.missed, IsEmpty());
  EXPECT_GT(report["trajectory_metrics"]["per_step_metrics"][1]["mae"], 0.0)
      << "the candidate ran with the reference's transformer";
}

TEST(CompareCheckpoints, RefusesBeforeLoadingWhatCannotBe) {
  const auto refuses = [](const std::function<void(CompareRequest&)>& change) {
    CompareRequest request = checkpoints();
    request.reference.model_path = "/nowhere";  // would be another error
    change(request);
    return refusal(request, ErrorCode::usage);
  };
  refuses([](CompareRequest& request) { request.require = "cosin>=0.9"; });
  refuses([](CompareRequest& request) { request.require = "last.noise_l2<=0.1"; });
  refuses([](CompareRequest& request) { request.measure_runs = 0; });
  refuses([](CompareRequest& request) { request.warmup_runs = -1; });
  refuses([](CompareRequest& request) { request.generate.prompts.clear(); });
  refuses([](CompareRequest& request) { request.require = "clip>=0.9"; });
  refuses([](CompareRequest& request) {
    request.seeds = {1, 2};
    request.generate.latents = "x.safetensors";
  });
  refuses([](CompareRequest& request) { request.generate.num_outputs_per_prompt = 2; });
}

TEST(CompareCheckpoints, RunEveryPromptWithEverySeed) {
  const test::TemporaryFolder folder;
  CompareRequest request = checkpoints();
  request.generate.prompts.push_back("two small yellow squares on a black background");
  request.seeds = {3, 9};
  request.candidate.components["transformer"] = (test::tiny_flux_fp8() / "transformer").string();
  request.save_output_dir = folder / "pictures";
  request.require = "cosine>=0.5,mean.psnr>=1,relative_l2<=1,pixel_mae<=200,noise_l2<=1";
  const CompareResult found = compare(request);
  EXPECT_THAT(found.missed, IsEmpty());
  EXPECT_THAT(found.findings, IsEmpty());
  const Json& runs = found.report["runs"];
  ASSERT_EQ(runs.size(), 4);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(runs[i]["index"], i);
    EXPECT_EQ(runs[i]["prompt"], request.generate.prompts[i / 2]);
    EXPECT_EQ(runs[i]["seed"], request.seeds[i % 2]);
    const std::string file = runs[i]["output_files"]["candidate"];
    EXPECT_EQ(fs::path(file).filename(), "candidate-00" + std::to_string(i) + ".png");
    EXPECT_EQ(read_png(file).pixels, found.pictures[i].candidate.pixels);
  }
  EXPECT_EQ(found.report["seed"], 3);
  EXPECT_EQ(dump_json(found.report["output_metrics"]["frame0_metrics"]["mae"]),
            dump_json(runs[0]["output_metrics"]["frame0_metrics"]["mae"]));
  EXPECT_EQ(found.report["noise_error"]["prompts"], 4);
  EXPECT_EQ(found.report["settings"]["seeds"], Json({3, 9}));
  EXPECT_EQ(found.report["sides"]["candidate"]["scheme"], "fp8");

  std::vector<double> worst;
  for (const Json& run : runs) {
    worst.push_back(run["output_metrics"]["frames"][0]["psnr_db"].get<double>());
  }
  const Json& psnr = found.report["aggregate"]["psnr"];
  EXPECT_EQ(psnr["worst"], *std::min_element(worst.begin(), worst.end()));
  EXPECT_EQ(psnr["runs"], 4);
  EXPECT_GT(psnr["confidence_95"].get<double>(), 0);
}

TEST(CompareCheckpoints, GiveThePicturesOfGenerateForEachRun) {
  CompareRequest request = checkpoints();
  request.seeds = {7, 8};
  const CompareResult found = compare(request);
  CompareRequest second = checkpoints();
  second.generate.seed = 8;
  EXPECT_EQ(found.pictures[1].reference.pixels, compare(second).pictures[0].reference.pixels);
  EXPECT_NE(found.pictures[1].reference.pixels, found.pictures[0].reference.pixels);
}

TEST(CompareCheckpoints, FindACandidateOfNans) {
  const test::TemporaryFolder folder;
  const fs::path transformer = folder.path() / "transformer";
  fs::copy(test::tiny_flux() / "transformer", transformer, fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(transformer)) {
    if (entry.path().extension() == ".safetensors") break_bias(entry.path().string());
  }
  CompareRequest request = checkpoints();
  request.candidate.components["transformer"] = transformer.string();
  const CompareResult found = compare(request);
  EXPECT_THAT(found.findings, Contains(HasSubstr("the decoder gave no picture: 12288 of 12288")));
  EXPECT_THAT(found.findings, Contains(HasSubstr("the latents after step 0 are no numbers")));
  EXPECT_THAT(found.findings, Each(HasSubstr("seed 7")));
}

TEST(CompareCheckpoints, RefusesAStepThatIsNotRun) {
  CompareRequest request = checkpoints();
  request.trajectory_step_index = 2;
  EXPECT_THAT(refusal(request, ErrorCode::usage), HasSubstr("-2 to 1"));
}

}  // namespace
}  // namespace ditq
