#include "pipeline/metrics.h"

#include <cmath>
#include <functional>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "format/checkpoint.h"
#include "pipeline/ssim.h"
#include "support/tensors.h"

namespace ditq {
namespace {

/// F32 sums depend on the instruction set, which decides torch's blocks: this far two orders of
/// adding were seen apart. A cosine is a sum of products of magnitude one, so its distance is
/// absolute.
constexpr double kSums = 1e-6;

/// Compares documents member by member and counts the numbers, so that tests can say how many agree
/// to the last bit.
class Agreement {
 public:
  void expect(const Json& found, const Json& expected, const std::string& where) {
    if (expected.is_object()) {
      EXPECT_EQ(found.size(), expected.size()) << where;
      for (const auto& [key, value] : expected.items()) {
        ASSERT_TRUE(found.contains(key)) << where << "/" << key;
        expect(found[key], value, where + "/" + key);
      }
    } else if (expected.is_array()) {
      ASSERT_EQ(found.size(), expected.size()) << where;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        expect(found[i], expected[i], where + "/" + std::to_string(i));
      }
    } else if (expected.is_number_float()) {
      expect_number(found, expected.get<double>(), where);
    } else {
      EXPECT_EQ(found, expected) << where;
    }
  }

  /// The goldens were made with AVX-512: there every number must be the same, elsewhere most.
  void expect_same_bits_on_the_same_machine() const {
    EXPECT_GT(numbers_, 0);
    if (at::get_cpu_capability() == "AVX512") {
      EXPECT_EQ(same_bits_, numbers_) << first_difference_;
    } else {
      EXPECT_GT(same_bits_, numbers_ / 2);
    }
  }

 private:
  void expect_number(const Json& found, double expected, const std::string& where) {
    ASSERT_TRUE(found.is_number()) << where << ": " << found.dump();
    const auto number = found.get<double>();
    ++numbers_;
    if (number == expected || (std::isnan(number) && std::isnan(expected))) {
      ++same_bits_;
      return;
    }
    if (first_difference_.empty()) first_difference_ = where;
    const bool absolute = where.ends_with("cosine_similarity") || where.ends_with("psnr_db");
    const double scale = absolute ? std::max(1.0, std::fabs(expected)) : std::fabs(expected);
    EXPECT_LE(std::fabs(number - expected), kSums * scale) << where;
    EXPECT_TRUE(std::isfinite(expected) && std::isfinite(number)) << where;
  }

  int numbers_ = 0;
  int same_bits_ = 0;
  std::string first_difference_;
};

Json pipeline_data(const std::string& name) {
  return read_json((test::data("pipeline") / name).string());
}

const Json& expected_cases() {
  static const Json document = pipeline_data("metric_expected.json");
  return document;
}

Tensor pair_member(const std::string& name) {
  return test::load(test::data("pipeline") / "metric_pairs.safetensors", name);
}

Tensor reference_of(const std::string& name) {
  return pair_member(name + ".reference");
}

Tensor candidate_of(const std::string& name) {
  return pair_member(name + ".candidate");
}

Json as_json(const TensorMetrics& metrics) {
  return {{"cosine_similarity", metrics.cosine_similarity},
          {"mae", metrics.mae},
          {"mse", metrics.mse},
          {"rmse", metrics.rmse},
          {"max_abs", metrics.max_abs},
          {"l2", metrics.l2}};
}

std::vector<Tensor> frames_of(const Tensor& video, std::int64_t count) {
  std::vector<Tensor> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back(video.select(0, i));
  return out;
}

States states_of(const Tensor& latents, const std::optional<Tensor>& timesteps) {
  States out{.latents = latents, .timesteps = std::nullopt};
  if (timesteps) {
    const float* first = timesteps->const_data_ptr<float>();
    out.timesteps = std::vector<float>(first, first + timesteps->numel());
  }
  return out;
}

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::usage;
}

TEST(Metrics, OfTensorsAreSglangs) {
  Agreement agreement;
  for (const auto& [name, expected] : expected_cases()["tensor_metrics"].items()) {
    const TensorMetrics found =
        tensor_metrics(reference_of("pair." + name), candidate_of("pair." + name));
    agreement.expect(as_json(found), expected, name);
  }
  agreement.expect_same_bits_on_the_same_machine();
}

TEST(Metrics, OfFramesAreSglangs) {
  Agreement agreement;
  for (const auto& [name, expected] : expected_cases()["frame_metrics"].items()) {
    const FrameMetrics found =
        frame_metrics(reference_of("frame." + name), candidate_of("frame." + name));
    Json json = as_json(found);
    json["psnr_db"] = found.psnr_db;
    agreement.expect(json, expected, name);
  }
  agreement.expect_same_bits_on_the_same_machine();
}

TEST(Metrics, OfPicturesAndVideosAreSglangs) {
  const Json& expected = expected_cases()["output_frames"];
  const Tensor reference = reference_of("video");
  const Tensor candidate = candidate_of("video");
  Agreement agreement;
  agreement.expect(to_json(output_metrics(frames_of(reference, 5), frames_of(candidate, 5))),
                   expected["video of 5"], "video");
  agreement.expect(to_json(output_metrics(frames_of(reference, 4), frames_of(candidate, 4))),
                   expected["first 4 frames"], "four frames");
  agreement.expect(
      to_json(output_metrics({reference_of("frame.near")}, {candidate_of("frame.near")})),
      expected["single image"], "image");
  agreement.expect_same_bits_on_the_same_machine();
}

TEST(Metrics, OfTrajectoriesAreSglangs) {
  const Json& expected = expected_cases()["trajectory"];
  const Tensor times = pair_member("trajectory.timesteps");
  const auto found = [&](bool reference_times, bool candidate_times, std::int64_t index) {
    const auto chosen = [&](bool with) { return with ? std::optional(times) : std::nullopt; };
    return to_json(
        trajectory_metrics(states_of(reference_of("trajectory"), chosen(reference_times)),
                           states_of(candidate_of("trajectory"), chosen(candidate_times)), index));
  };
  Agreement agreement;
  agreement.expect(found(true, true, -1), expected["step_index -1"], "last");
  agreement.expect(found(false, false, 2), expected["step_index 2, no timesteps"], "third");
  agreement.expect(found(true, false, -6), expected["step_index -6, reference timesteps only"],
                   "first");
  agreement.expect_same_bits_on_the_same_machine();
  EXPECT_EQ(expected.size(), 3);
}

TEST(Metrics, RefuseWhatSglangRefuses) {
  const Tensor four = reference_of("trajectory");
  const Tensor two = four.slice(1, 0, 2);
  const Tensor frame = reference_of("frame.near");
  const auto trajectories = [](const Tensor& a, const Tensor& b, std::int64_t index) {
    return [=] { trajectory_metrics(states_of(a, {}), states_of(b, {}), index); };
  };
  EXPECT_EQ(code_of([&] { tensor_metrics(four, two); }), ErrorCode::wrong_shape);
  EXPECT_EQ(code_of([&] { tensor_metrics(four.slice(1, 0, 0), four.slice(1, 0, 0)); }),
            ErrorCode::wrong_shape);
  EXPECT_EQ(code_of(trajectories(four, two, -1)), ErrorCode::wrong_shape);
  EXPECT_EQ(code_of(trajectories(four.flatten(), four.flatten(), -1)), ErrorCode::wrong_shape);
  EXPECT_EQ(code_of(trajectories(four.slice(1, 0, 0), four.slice(1, 0, 0), -1)),
            ErrorCode::wrong_shape);
  EXPECT_EQ(code_of(trajectories(four, four, 6)), ErrorCode::usage);
  EXPECT_EQ(code_of(trajectories(four, four, -7)), ErrorCode::usage);
  EXPECT_EQ(code_of([&] { output_metrics({frame}, {}); }), ErrorCode::wrong_shape);
  EXPECT_EQ(code_of([&] { output_metrics({}, {}); }), ErrorCode::wrong_shape);
  EXPECT_EQ(code_of([&] { output_metrics({frame}, {frame.slice(0, 1)}); }), ErrorCode::wrong_shape);
}

TEST(Metrics, RefuseFewerTimestepsThanSteps) {
  const Tensor latents = reference_of("trajectory");
  const States complete = states_of(latents, pair_member("trajectory.timesteps"));
  const States short_of_one = states_of(latents, pair_member("trajectory.timesteps").slice(0, 1));
  EXPECT_EQ(code_of([&] { trajectory_metrics(complete, short_of_one, -1); }),
            ErrorCode::wrong_shape);
}

/// The trajectory part of a golden metrics file, recomputed from two files of latents.
Json recomputed(const std::filesystem::path& reference, const std::filesystem::path& candidate) {
  const auto states = [](const std::filesystem::path& file) {
    return states_of(test::load(file, "latents"), test::load(file, "timesteps"));
  };
  return to_json(trajectory_metrics(states(reference), states(candidate), -1));
}

TEST(Metrics, OfWholeRunsAreSglangs) {
  Agreement agreement;
  for (const auto& [reference, candidate] : {std::pair{"bf16", "fp8"}, {"bf16", "fp8-none"}}) {
    const auto file = [&](const std::string& variant) {
      return test::data("engine") / ("p0_8steps_" + variant + ".safetensors");
    };
    const std::string name = std::string(candidate) + "_vs_" + reference;
    agreement.expect(recomputed(file(reference), file(candidate)),
                     pipeline_data("metrics_p0_8steps_" + name + ".json")["trajectory_metrics"],
                     name);
  }
  agreement.expect_same_bits_on_the_same_machine();
}

/// "p1_8steps_fp8_vs_bf16.json" to its parts.
struct GoldenComparison {
  std::string run, candidate, reference;
};

GoldenComparison parts_of(const std::string& stem) {
  const std::size_t steps = stem.find("steps_") + 5;
  const std::size_t versus = stem.find("_vs_");
  return {.run = stem.substr(0, steps + 1),
          .candidate = stem.substr(steps + 1, versus - steps - 1),
          .reference = stem.substr(versus + 4)};
}

TEST(Metrics, OfAllGoldenRunsAreSglangs) {
  const auto folder = test::golden("golden/flux1-tiny");
  if (!folder) GTEST_SKIP() << "the golden set is not here";
  Agreement agreement;
  int whole = 0;
  int last_steps = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder / "metrics")) {
    const std::string stem = entry.path().stem().string();
    const GoldenComparison parts = parts_of(stem);
    if (stem == "summary" || parts.candidate.find("other-kernels") != std::string::npos) continue;
    const auto latents = [&](const std::string& variant) {
      return test::load(*folder / "trajectory" / (parts.run + variant + ".safetensors"), "latents");
    };
    const Json expected = read_json(entry.path().string())["trajectory_metrics"];
    Tensor reference = latents(parts.reference);
    const Tensor candidate = latents(parts.candidate);
    if (candidate.size(1) < reference.size(1)) {  // the last step alone is kept
      reference = reference.slice(1, reference.size(1) - 1);
      const TrajectoryMetrics found =
          trajectory_metrics(states_of(reference, {}), states_of(candidate, {}), -1);
      Json last = expected["selected_step_metrics"];
      for (const char* key : {"step_index", "reference_timestep", "candidate_timestep"}) {
        last.erase(key);
      }
      agreement.expect(as_json(found.steps[0]), last, stem);
      ++last_steps;
      continue;
    }
    const auto file = [&](const std::string& variant) {
      return *folder / "trajectory" / (parts.run + variant + ".safetensors");
    };
    agreement.expect(recomputed(file(parts.reference), file(parts.candidate)), expected, stem);
    ++whole;
  }
  EXPECT_GE(whole, 15);
  EXPECT_GE(last_steps, 10);
  agreement.expect_same_bits_on_the_same_machine();
}

/// As SGLang's tool makes 8 bits of a float picture: it cuts off, where diffusers rounds.
Tensor cut_to_8_bits(const Tensor& image) {
  return image.to(at::kFloat)
      .mul(255)
      .clamp(0, 255)
      .to(at::kByte)[0]
      .permute({1, 2, 0})
      .contiguous();
}

TEST(Metrics, OfAGoldenPictureAreSglangs) {
  const auto folder = test::golden("golden/flux1-tiny/trajectory");
  if (!folder) GTEST_SKIP() << "the golden set is not here";
  const auto frame = [&](const char* variant) {
    return cut_to_8_bits(
        test::load(*folder / ("p0_8steps_" + std::string(variant) + ".safetensors"), "image"));
  };
  const Json expected = pipeline_data("metrics_p0_8steps_bf16_vs_fp32.json")["output_metrics"];
  // Sums of this many values are split among the threads; the goldens were made with two.
  const int threads = at::get_num_threads();
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    Agreement agreement;
    agreement.expect(to_json(output_metrics({frame("fp32")}, {frame("bf16")})), expected, "p0");
    if (count == 2) agreement.expect_same_bits_on_the_same_machine();
  }
  at::set_num_threads(threads);
}

/// A frame [H, W, 3] as a picture.
Picture picture_of(const Tensor& frame) {
  const Tensor dense = frame.contiguous();
  const auto* first = dense.const_data_ptr<std::uint8_t>();
  return {.width = dense.size(1),
          .height = dense.size(0),
          .pixels = std::vector<std::uint8_t>(first, first + dense.numel())};
}

/// Window sums are exact here and rounded running sums in scikit-image: a few units of 1e-12.
constexpr double kSsim = 1e-11;

TEST(Ssim, IsScikitImages) {
  const Json expected = pipeline_data("ssim.json");
  for (const char* name : {"black_white", "identical", "near", "unrelated"}) {
    const std::string frame = std::string("frame.") + name;
    EXPECT_NEAR(ssim(picture_of(reference_of(frame)), picture_of(candidate_of(frame))),
                expected[name].get<double>(), kSsim)
        << name;
  }
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::string name = "video." + std::to_string(i);
    EXPECT_NEAR(ssim(picture_of(reference_of("video").select(0, i)),
                     picture_of(candidate_of("video").select(0, i))),
                expected[name].get<double>(), kSsim)
        << name;
  }
}

TEST(Ssim, OfGoldenPicturesIsScikitImages) {
  const auto folder = test::golden("golden/flux1-tiny/images");
  if (!folder) GTEST_SKIP() << "the golden set is not here";
  const Json expected = pipeline_data("ssim.json");
  for (const std::string run : {"p0_8steps", "p1_20steps", "p2_20steps"}) {
    const auto picture = [&](const char* variant) {
      return read_png((*folder / (run + variant + ".png")).string());
    };
    EXPECT_NEAR(ssim(picture("_bf16"), picture("_fp8")), expected["images/" + run].get<double>(),
                kSsim)
        << run;
  }
}

TEST(Ssim, TakesPicturesOfOneWindow) {
  Picture flat{.width = 7, .height = 7, .pixels = std::vector<std::uint8_t>(147, 90)};
  EXPECT_DOUBLE_EQ(ssim(flat, flat), 1);
  Picture other = flat;
  other.pixels.assign(147, 180);
  // Constant pictures differ in luminance alone.
  const double c1 = 2.55 * 2.55;
  EXPECT_NEAR(ssim(flat, other), (2 * 90.0 * 180 + c1) / (90.0 * 90 + 180.0 * 180 + c1), 1e-12);
}

}  // namespace
}  // namespace ditq
