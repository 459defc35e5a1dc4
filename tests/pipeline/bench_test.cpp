#include "pipeline/bench.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "kernels/gpu_state.h"
#include "perf/fairness.h"
#include "perf/perf_file.h"
#include "pipeline/generate.h"
#include "pipeline/machine_state.h"
#include "support/paths.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

GenerateRequest small_request() {
  GenerateRequest request;
  request.sources.model_path = test::tiny_flux().string();
  request.run.device = "cpu";
  request.prompts = {"a large red circle on a navy background"};
  request.height = 128;
  request.width = 128;
  request.num_inference_steps = 2;
  request.max_sequence_length = 64;
  request.command = {"ditq", "bench"};
  return request;
}

BenchRequest small_bench(const std::string& folder) {
  BenchRequest request;
  request.generate = small_request();
  request.reference = request.generate.sources;
  request.candidate = request.reference;
  request.candidate.components["transformer"] = (test::tiny_flux_fp8() / "transformer").string();
  request.differing = {"transformer"};
  request.output_dir = folder + "/runs";
  request.output_json = folder + "/bench.json";
  return request;
}

TEST(Bench, OrderIsABBA) {
  using enum BenchSideName;
  EXPECT_THAT(bench_order(1), ElementsAre(reference, candidate, candidate, reference));
  EXPECT_EQ(bench_order(2).size(), 8U);
  EXPECT_EQ(bench_order(2)[4], reference);
}

/// One run for all tests that look at its result.
struct Ran {
  test::TemporaryFolder folder;
  BenchResult result = bench(small_bench(folder.path().string()));
};
const Ran& ran() {
  static const Ran once;
  return once;
}

TEST(Bench, MeasuresBothSidesInTurn) {
  const Json& report = ran().result.report;
  EXPECT_EQ(report["order"], Json({"reference", "candidate", "candidate", "reference"}));
  for (const auto& [name, visits] : {std::pair("reference", std::vector<int>{0, 0, 3, 3}),
                                     std::pair("candidate", std::vector<int>{1, 1, 2, 2})}) {
    const Json& side = report[name];
    ASSERT_EQ(side["runs"].size(), 4U);
    std::vector<int> found;
    for (const Json& run : side["runs"]) {
      found.push_back(run["visit"]);
      EXPECT_EQ(run["steps_ms"].size(), 2U);
      EXPECT_GT(run["peak_memory_mb"].get<double>(), 10);
      EXPECT_TRUE(fs::is_regular_file(run["perf"].get<std::string>()));
    }
    EXPECT_EQ(found, visits) << name;
    EXPECT_EQ(side["device_state"].size(), 4U) << "before and after each of two visits";
    for (const char* key : {"total", "text", "denoise", "decode", "step"}) {
      EXPECT_LE(side[key]["min_ms"].get<double>(), side[key]["median_ms"].get<double>()) << key;
    }
  }
  EXPECT_EQ(report["reference"]["loads_s"].size(), 2U) << "loaded for visits 0 and 3";
  EXPECT_EQ(report["candidate"]["loads_s"].size(), 1U) << "visits 1 and 2 share one load";
}

TEST(Bench, ReportsWhatItCompared) {
  const Json& report = ran().result.report;
  EXPECT_EQ(report["reference"]["scheme"], "bf16");
  EXPECT_EQ(report["candidate"]["scheme"], "fp8");
  EXPECT_EQ(report["differing"], Json({"transformer"}));
  EXPECT_EQ(report["settings"]["num_inference_steps"], 2);
  EXPECT_EQ(report["settings"]["offload"]["dit_cpu_offload"], false);
  EXPECT_EQ(report["settings"]["topology"]["num_gpus"], 1);
  EXPECT_EQ(report["settings"]["warmup_runs"], 1);
  EXPECT_TRUE(report["fairness"]["fair"]);
  EXPECT_GT(report["fairness"]["equal"].size(), 20U);
  EXPECT_TRUE(report["speedup"]["denoise"]["low"] <= report["speedup"]["denoise"]["high"]);
  EXPECT_THAT(report["reading"].get<std::vector<std::string>>(),
              Contains(HasSubstr("no result of a full model")));
  for (const char* key : {"model_path", "rounds", "measure_runs", "peak_memory_ratio", "comparison",
                          "machine", "versions", "command"}) {
    EXPECT_TRUE(report.contains(key)) << key;
  }
  EXPECT_EQ(read_json(ran().folder / "bench.json")["order"], report["order"]);
  EXPECT_TRUE(ran().result.brief.contains("speedup"));
}

TEST(Bench, ItsFilesAreFairToEachOtherAndNotToOtherSettings) {
  const auto file = [](const Json& side) {
    return read_perf(side["runs"][0]["perf"].get<std::string>());
  };
  const Json& report = ran().result.report;
  const PerfFile reference = file(report["reference"]);
  EXPECT_TRUE(judge_fairness(reference, file(report["candidate"])).is_fair());

  // The same picture by generate: not warmed up, and otherwise equal.
  const test::TemporaryFolder folder;
  GenerateRequest request = small_request();
  request.save_output = false;
  request.perf_dump_path = folder / "perf.json";
  generate(request);
  const Fairness fairness = judge_fairness(reference, read_perf(request.perf_dump_path));
  ASSERT_EQ(fairness.differences.size(), 1U);
  EXPECT_EQ(to_sentence(fairness.differences[0]), "warmup_runs is 1 against 0");
}

ErrorCode code_of(const BenchRequest& request) {
  try {
    bench(request);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::check_failed;
}

TEST(Bench, RefusesCountsAndPromptsThatCannotBe) {
  const test::TemporaryFolder folder;
  const auto changed = [&](const auto& change) {
    BenchRequest request = small_bench(folder.path().string());
    change(request);
    return code_of(request);
  };
  EXPECT_EQ(changed([](auto& r) { r.rounds = 0; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.warmup_runs = -1; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.measure_runs = 0; }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.generate.prompts.clear(); }), ErrorCode::usage);
  EXPECT_EQ(changed([](auto& r) { r.generate.prompts.emplace_back("two"); }), ErrorCode::usage);
}

void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(MachineState, ReadsClocksAndTemperatures) {
  const test::TemporaryFolder root;
  const fs::path processors = root.path() / "sys/devices/system/cpu";
  for (const auto& [name, kilohertz] :
       {std::pair("cpu0", "2000000"), std::pair("cpu1", "3000000")}) {
    put(processors / name / "cpufreq/scaling_cur_freq", kilohertz);
    put(processors / name / "cpufreq/cpuinfo_max_freq", "3500000\n");
    put(processors / name / "thermal_throttle/package_throttle_count", "7\n");
  }
  put(processors / "cpuidle/cpufreq/scaling_cur_freq", "1");
  put(root.path() / "sys/class/thermal/thermal_zone0/temp", "41000\n");
  put(root.path() / "sys/class/thermal/thermal_zone1/temp", "55500\n");
  put(root.path() / "proc/stat", "cpu  100 100 200 500 100 0 0 0 7 7\ncpu0 1 1\n");
  put(root.path() / "proc/self/stat", "42 (a) b) S 1 1 1 0 -1 4194304 9 0 0 0 30 20 0 0 20 0 1\n");
  const Json state = cpu_state(root.path().string());
  EXPECT_EQ(state["frequency_mhz"], Json({{"min", 2000.0}, {"mean", 2500.0}, {"max", 3000.0}}));
  EXPECT_EQ(state["frequency_max_mhz"], 3500.0);
  EXPECT_EQ(state["temperature_c"], 55.5);
  EXPECT_EQ(state["throttle_events"], 7.0);
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(state["processor_seconds"],
            Json({{"total", 1000 * tick}, {"busy", 400 * tick}, {"own", 50 * tick}}));
}

TEST(MachineState, WhatIsNotReadableIsNull) {
  const test::TemporaryFolder root;
  put(root.path() / "sys/class/thermal/thermal_zone0/temp", "no number");
  const Json state = cpu_state(root.path().string());
  for (const auto& [key, value] : state.items()) {
    EXPECT_TRUE(value.is_null()) << key;
  }
  EXPECT_FALSE(read_gpu_state("0000:00:00.0", "libditq-has-no-such-library.so"));
  EXPECT_FALSE(read_gpu_state("", DITQ_NVML_SHIM));
  EXPECT_FALSE(read_gpu_state("0000:00:00.0", DITQ_NVML_SHIM)) << "no such GPU";
}

TEST(MachineState, ReadsNvml) {
  const auto state = read_gpu_state("0000:1B:00.0", DITQ_NVML_SHIM);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->sm_clock_mhz, 1755U);
  EXPECT_EQ(state->sm_clock_max_mhz, 1980U);
  EXPECT_EQ(state->memory_clock_mhz, 2619U);
  EXPECT_FALSE(state->memory_clock_max_mhz) << "the library does not tell";
  EXPECT_EQ(state->temperature_c, 61U);
  EXPECT_EQ(state->power_w, 650.5);
  EXPECT_FALSE(state->power_limit_w) << "an entry point that is missing";
  EXPECT_THAT(state->throttled_by, ElementsAre("sw_power_cap", "hw_thermal_slowdown"));
}

}  // namespace
}  // namespace ditq
