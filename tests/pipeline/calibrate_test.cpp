#include "pipeline/calibrate.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "pipeline/calibration_identity.h"
#include "pipeline/state_file.h"
#include "support/tensors.h"
#include "tensor/create.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Three small calls of two steps; the last one has one prompt.
CalibrateRequest small_request(const std::string& state_file) {
  CalibrateRequest request;
  request.sources.model_path = test::tiny_flux().string();
  request.run.device = "cpu";
  request.prompts = {"a red circle\n", "a blue square\n", "a star\n", "a cross\n", "a ring"};
  request.batch_size = 2;
  request.n_steps = 2;
  request.height = 64;
  request.width = 48;
  request.max_sequence_length = 32;
  request.seed = 7;
  request.lowrank = 8;
  request.state_file = state_file;
  return request;
}

std::string bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The measured tensors of a finished state.
std::map<std::string, Tensor> state(const std::string& path) {
  return read_statistics(SafetensorsFile::open(path));
}

/// Calibrates and returns the file's bytes.
std::string calibrated(const CalibrateRequest& request) {
  calibrate(request);
  return bytes_of_file(request.state_file);
}

ErrorCode error_of(const CalibrateRequest& request, const std::string& mentions) {
  try {
    calibrate(request);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(mentions), std::string::npos) << error.what();
    return error.code();
  }
  return ErrorCode::check_failed;
}

TEST(Calibrate, MeasuresEveryQuantizerThatModelOptMeasuresAndWeightsExactly) {
  const test::TemporaryFolder folder;
  CalibrateRequest request = small_request(folder / "state.safetensors");
  request.prompts.resize(1);
  calibrate(request);
  const auto found = state(request.state_file);
  std::set<std::string> expected;
  std::ifstream list(test::data("calibration") / "quantizers.txt");
  for (std::string line; std::getline(list, line);) {
    const std::size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    if (space == std::string::npos) {
      expected.insert(amax_key(name));
      continue;
    }
    expected.insert({input_amax_key(name), weight_amax_key(name)});
    const auto weight = found.find(weight_amax_key(name));
    ASSERT_NE(weight, found.end()) << name;
    EXPECT_EQ(weight->second.item<float>(), std::stof(line.substr(space))) << name;
  }
  std::set<std::string> names;
  for (const auto& [name, value] : found) {
    names.insert(name);
    EXPECT_EQ(value.scalar_type(), at::kBFloat16) << name;
    EXPECT_EQ(value.dim(), 0) << name;
  }
  EXPECT_EQ(names, expected);
}

TEST(Calibrate, TheSameSeedGivesTheSameBytesAndAnotherSeedOtherValues) {
  const test::TemporaryFolder folder;
  const CalibrateRequest request = small_request(folder / "state.safetensors");
  const std::string first = calibrated(request);
  fs::remove(request.state_file);
  EXPECT_EQ(calibrated(request), first);
  CalibrateRequest other = small_request(folder / "other.safetensors");
  other.seed = 8;
  calibrate(other);
  EXPECT_FALSE(state(other.state_file)
                   .at("proj_out.input_quantizer._amax")
                   .equal(state(request.state_file).at("proj_out.input_quantizer._amax")));
  EXPECT_FALSE(fs::exists(request.state_file + ".partial"));
}

TEST(Calibrate, AnF32RunMeasuresTheSameQuantizersInF32) {
  const test::TemporaryFolder folder;
  CalibrateRequest request = small_request(folder / "state.safetensors");
  request.prompts.resize(1);
  request.run.dtype = "fp32";
  calibrate(request);
  const auto found = state(request.state_file);
  EXPECT_EQ(found.size(), 161U);
  for (const auto& [name, value] : found) EXPECT_EQ(value.scalar_type(), at::kFloat) << name;
}

/// Runs a calibration that is ended by a signal as soon as `file` is there. Ends the process.
void calibrate_until_signalled(const CalibrateRequest& request,
                               const std::string& file,
                               int signal) {
  install_interrupt_handler();
  std::thread([file, signal] {
    while (!fs::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::kill(::getpid(), signal);
  }).detach();
  try {
    calibrate(request);
  } catch (const Error& error) {
    std::_Exit(static_cast<int>(exit_code(error.code())));
  }
  std::_Exit(0);
}

/// Death tests run the test again in a process of its own, which must use the first one's folder.
std::string shared_state_file(const test::TemporaryFolder& folder) {
  constexpr const char* kName = "DITQ_TEST_STATE_FILE";
  if (const char* given = std::getenv(kName)) return given;
  const std::string file = folder / "state.safetensors";
  ::setenv(kName, file.c_str(), 1);
  return file;
}

void expect_bit_identical_resume(const CalibrateRequest& request, const std::string& reference) {
  ASSERT_TRUE(fs::exists(request.state_file + ".partial"));
  ASSERT_FALSE(fs::exists(request.state_file));
  const CalibrateResult result = calibrate(request);
  EXPECT_GE(result.summary["calls_resumed"].get<int>(), 1);
  EXPECT_LT(result.summary["calls_resumed"].get<int>(), result.summary["calls"].get<int>());
  CalibrateRequest whole = request;
  whole.state_file = reference;
  EXPECT_EQ(bytes_of_file(request.state_file), calibrated(whole));
  EXPECT_FALSE(fs::exists(request.state_file + ".partial"));
}

TEST(CalibrateDeathTest, AnInterruptedCalibrationContinuesToTheSameBytes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const test::TemporaryFolder folder;
  const CalibrateRequest request = small_request(shared_state_file(folder));
  EXPECT_EXIT(calibrate_until_signalled(request, request.state_file + ".partial", SIGINT),
              testing::ExitedWithCode(130), "");
  expect_bit_identical_resume(request, folder / "whole.safetensors");
  ::unsetenv("DITQ_TEST_STATE_FILE");
}

/// `file`: the suffix of what ends the first run when it appears.
void expect_killed_svdquant_continues(const std::string& file) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const test::TemporaryFolder folder;
  CalibrateRequest request = small_request(shared_state_file(folder));
  request.algorithm = "svdquant";
  request.prompts.resize(3);
  request.n_steps = 1;
  EXPECT_EXIT(calibrate_until_signalled(request, request.state_file + file, SIGKILL),
              testing::KilledBySignal(SIGKILL), "");
  expect_bit_identical_resume(request, folder / "whole.safetensors");
  EXPECT_FALSE(fs::exists(request.state_file + ".weights"));
  ::unsetenv("DITQ_TEST_STATE_FILE");
}

TEST(CalibrateDeathTest, SvdquantKilledInItsFirstPassContinuesToTheSameBytes) {
  expect_killed_svdquant_continues(".partial");
}

TEST(CalibrateDeathTest, SvdquantKilledBeforeItsLastPassContinuesToTheSameBytes) {
  expect_killed_svdquant_continues(".weights");
}

TEST(Calibrate, RefusesAFileOfAnotherRequestAndNamesTheDifference) {
  const test::TemporaryFolder folder;
  CalibrateRequest request = small_request(folder / "state.safetensors");
  request.prompts.resize(1);
  calibrate(request);
  EXPECT_EQ(calibrate(request).summary["calls_resumed"], 1);
  request.seed = 8;
  EXPECT_EQ(error_of(request, "seed 8"), ErrorCode::usage);
  request.seed = 7;
  request.prompts = {"another"};
  EXPECT_EQ(error_of(request, "prompts_sha256"), ErrorCode::usage);
}

TEST(Calibrate, ABatchMeasuresWhatItsPromptsMeasureOneByOne) {
  const test::TemporaryFolder folder;
  const Tensor noise = normal(3, {2, 12, 64}, at::kBFloat16);
  const std::vector<Tensor> halves{noise.narrow(0, 0, 1), noise.narrow(0, 1, 1)};
  const std::string apart = folder / "apart.safetensors";
  const std::string together = folder / "together.safetensors";
  write_statistics(apart, {{"000", halves[0].contiguous()}, {"001", halves[1].contiguous()}}, {});
  write_statistics(together, {{"000", noise}}, {});
  CalibrateRequest request = small_request(folder / "single.safetensors");
  request.prompts.resize(2);
  request.latents = apart;
  request.batch_size = 1;
  calibrate(request);
  CalibrateRequest batch = request;
  batch.latents = together;
  batch.batch_size = 2;
  batch.state_file = folder / "batch.safetensors";
  calibrate(batch);
  const auto one = state(request.state_file);
  const auto two = state(batch.state_file);
  ASSERT_EQ(one.size(), two.size());
  // The kernels of a batch work on each picture by itself.
  for (const auto& [name, value] : one) {
    EXPECT_LE(test::bf16_ulps(value, two.at(name)), 1) << name;
  }
}

TEST(Calibrate, RefusesWhatCannotBeBeforeItRuns) {
  const test::TemporaryFolder folder;
  const CalibrateRequest good = small_request(folder / "state.safetensors");
  CalibrateRequest request = good;
  request.prompts.clear();
  EXPECT_EQ(error_of(request, "no prompt"), ErrorCode::usage);
  request = good;
  request.batch_size = 0;
  EXPECT_EQ(error_of(request, "--batch-size"), ErrorCode::usage);
  request = good;
  request.n_steps = 0;
  EXPECT_EQ(error_of(request, "--n-steps"), ErrorCode::usage);
  request = good;
  request.algorithm = "smoothquant";
  EXPECT_EQ(error_of(request, "smoothquant"), ErrorCode::usage);
  request = good;
  request.sources.transformer_weights_path = (test::tiny_flux_fp8() / "transformer").string();
  EXPECT_EQ(error_of(request, "quantized already"), ErrorCode::unsupported);
  request = good;
  request.latents = folder / "noise.safetensors";
  write_statistics(request.latents, {{"000", normal(1, {2, 12, 64}, at::kBFloat16)}}, {});
  EXPECT_EQ(error_of(request, "'002'"), ErrorCode::missing_tensor);
}

TEST(Calibrate, SvdquantLeavesSkippedLayersPlain) {
  const test::TemporaryFolder folder;
  CalibrateRequest request = small_request(folder / "state.safetensors");
  request.algorithm = "svdquant";
  request.prompts.resize(1);
  request.n_steps = 1;
  request.svdquant_skip = {"*.attn.add_[qk]_proj", "proj_out"};
  calibrate(request);
  const auto found = state(request.state_file);
  const std::string skipped = "transformer_blocks.0.attn.add_q_proj";
  const std::string split = "transformer_blocks.0.attn.add_v_proj";
  EXPECT_FALSE(found.contains(weight_key(skipped)));
  EXPECT_FALSE(found.contains(pre_quant_scale_key("proj_out")));
  EXPECT_TRUE(found.contains(input_amax_key(skipped)));
  EXPECT_EQ(found.at(low_rank_a_key(split)).sizes(), at::IntArrayRef({8, 256}));
  EXPECT_TRUE(found.at(weight_amax_key(split)).equal(found.at(weight_key(split)).abs().max()));
  const Json about = calibration_metadata(SafetensorsFile::open(request.state_file));
  EXPECT_EQ(about["layers"].size(), 62U - 5U);
  EXPECT_EQ(about["layers"][split]["losses"].size(), 11U);
  EXPECT_TRUE(about["complete"].get<bool>());
}

TEST(NoiseSeed, EveryCallOfEveryPassHasItsOwn) {
  std::set<std::uint64_t> seeds;
  for (const std::uint64_t seed : {0U, 1U, 42U}) {
    for (std::int64_t pass = 0; pass < 3; ++pass) {
      for (std::int64_t call = 0; call < 100; ++call) seeds.insert(noise_seed(seed, pass, call));
    }
  }
  EXPECT_EQ(seeds.size(), 900U);
}

}  // namespace
}  // namespace ditq
