#include "perf/perf_file.h"

#include <cmath>
#include <functional>
#include <limits>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perf/perf_files.h"
#include "perf/perf_settings.h"

namespace ditq {
namespace {

using test::ditq_document;
using test::error_of;
using test::perf_of;
using test::sglang_document;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(PerfFile, ReadsWhatSglangWrites) {
  const PerfFile file = perf_of(sglang_document());
  EXPECT_EQ(file.tag, "cli_generate");
  EXPECT_EQ(file.commit_hash, "4b6ee06");
  EXPECT_EQ(file.model, "black-forest-labs/FLUX.1-dev");
  EXPECT_EQ(file.total_ms, 1000);
  ASSERT_EQ(file.stages.size(), 4U);
  EXPECT_EQ(file.stages[2].name, "DenoisingStage");
  EXPECT_THAT(file.denoise_steps_ms, ElementsAre(100, 100, 100, 100));
  EXPECT_EQ(file.peak_reserved_mb, 2048) << "the highest of all checkpoints";
  EXPECT_EQ(file.settings, Json({{"prompt", "a cat"}}));
  EXPECT_EQ(file.measured_steps(), 4U);
}

TEST(PerfFile, SumsTheDenoisingStepsOfOldDumps) {
  Json document = sglang_document(0);
  document["steps"] = {{{"name", "TextEncodingStage"}, {"duration_ms", 5}},
                       {{"name", "denoising_step_0"}, {"duration_ms", 10}},
                       {{"name", "denoising_step_1"}, {"duration_ms", 20}},
                       {{"name", "denoising_step_x"}, {"duration_ms", 1}},
                       {{"name", "denoising_step_12"}, {"duration_ms", 30}},
                       {{"name", "DecodingStage"}, {"duration_ms", 7}}};
  document.erase("denoise_steps_ms");
  document.erase("memory_checkpoints");
  const PerfFile file = perf_of(document);
  ASSERT_EQ(file.stages.size(), 4U);
  EXPECT_EQ(file.stages[1].name, "Denoising Loop");
  EXPECT_EQ(file.stages[1].milliseconds, 60);
  EXPECT_EQ(file.stages[1].entries, 3U);
  EXPECT_EQ(file.stages[2].name, "denoising_step_x");
  EXPECT_EQ(file.measured_steps(), 3U);
  EXPECT_FALSE(file.peak_reserved_mb);
}

TEST(PerfFile, TakesSettingsFromMetaAndItsTree) {
  const PerfFile file = perf_of(ditq_document());
  EXPECT_EQ(file.settings["offload"]["vae_cpu_offload"], false);
  EXPECT_EQ(file.settings["device_model"], "NVIDIA H100 80GB HBM3");
  Json flat = sglang_document();
  flat["meta"]["num_gpus"] = 2;
  flat["meta"]["dit_cpu_offload"] = true;
  flat["meta"]["guidance_scale"] = nullptr;
  flat["meta"]["prompt"] = {"a cat"};
  const Json settings = perf_of(flat).settings;
  EXPECT_EQ(settings["topology"]["num_gpus"], 2);
  EXPECT_EQ(settings["offload"]["dit_cpu_offload"], true);
  EXPECT_FALSE(settings.contains("guidance_scale")) << "null is not known";
  EXPECT_EQ(settings["prompt"], "a cat") << "a list of one prompt is the prompt";
}

TEST(PerfFile, RefusesAFileThatContradictsItself) {
  Json document = ditq_document();
  document["meta"]["seed"] = 43;
  EXPECT_THAT(error_of([&] { perf_of(document); }),
              AllOf(StartsWith("bad_config"), HasSubstr("seed"), HasSubstr("43 and 42"),
                    HasSubstr("x.perf.json")));
}

TEST(PerfFile, RefusesARunOfTheDiffusersBackend) {
  Json by_stage = sglang_document();
  by_stage["steps"].push_back({{"name", "DiffusersExecutionStage"}, {"duration_ms", 1}});
  Json by_meta = sglang_document();
  by_meta["meta"]["backend"] = "diffusers";
  for (const Json& document : {by_stage, by_meta}) {
    EXPECT_THAT(error_of([&] { perf_of(document); }),
                AllOf(StartsWith("bad_config"), HasSubstr("diffusers backend")));
  }
}

/// A document with one thing wrong, and the key that the error must name.
struct Damage {
  const char* key;
  std::function<void(Json&)> apply;
};

TEST(PerfFile, NamesTheKeyOfWhatIsWrong) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<Damage> damages = {
      {"the document", [](Json& d) { d = Json::array(); }},
      {"total_duration_ms", [](Json& d) { d.erase("total_duration_ms"); }},
      {"total_duration_ms", [](Json& d) { d["total_duration_ms"] = "1"; }},
      {"total_duration_ms", [](Json& d) { d["total_duration_ms"] = -1; }},
      {"total_duration_ms", [&](Json& d) { d["total_duration_ms"] = infinity; }},
      {"total_duration_ms", [](Json& d) { d["total_duration_ms"] = std::nan(""); }},
      {"tag", [](Json& d) { d["tag"] = 1; }},
      {"steps", [](Json& d) { d["steps"] = Json::object(); }},
      {"steps[1]", [](Json& d) { d["steps"][1] = 3; }},
      {"steps[2].name", [](Json& d) { d["steps"][2].erase("name"); }},
      {"steps[2].name", [](Json& d) { d["steps"][2]["name"] = true; }},
      {"steps[2].name",
       [](Json& d) { d["steps"][2]["name"] = std::string(kMaxPerfName + 1, 'x'); }},
      {"steps[0].duration_ms", [](Json& d) { d["steps"][0]["duration_ms"] = nullptr; }},
      {"denoise_steps_ms", [](Json& d) { d["denoise_steps_ms"] = 4; }},
      {"denoise_steps_ms[3]", [](Json& d) { d["denoise_steps_ms"][3] = 4; }},
      {"denoise_steps_ms[3].duration_ms",
       [](Json& d) { d["denoise_steps_ms"][3]["duration_ms"] = "x"; }},
      {"memory_checkpoints", [](Json& d) { d["memory_checkpoints"] = 1; }},
      {"memory_checkpoints.after_forward",
       [](Json& d) { d["memory_checkpoints"]["after_forward"] = 1; }},
      {"memory_checkpoints.after_forward.peak_reserved_mb",
       [](Json& d) { d["memory_checkpoints"]["after_forward"]["peak_reserved_mb"] = -2; }},
      {"meta", [](Json& d) { d["meta"] = "x"; }},
      {"meta.model", [](Json& d) { d["meta"]["model"] = 1; }},
      {"meta.prompt", [](Json& d) { d["meta"]["prompt"] = {1}; }},
      {"meta.width", [](Json& d) { d["meta"]["width"] = "1024"; }},
      {"meta.device", [](Json& d) { d["meta"]["device"] = 0; }},
      {"meta.settings", [](Json& d) { d["meta"]["settings"] = 1; }},
      {"meta.settings.seed",
       [](Json& d) {
         d["meta"]["settings"] = {{"seed", "42"}};
       }},
      {"meta.settings.offload.vae_cpu_offload",
       [](Json& d) {
         d["meta"]["settings"] = {{"offload", {{"vae_cpu_offload", 0}}}};
       }},
  };
  for (const Damage& damage : damages) {
    Json document = sglang_document();
    damage.apply(document);
    EXPECT_THAT(error_of([&] { perf_of(document); }),
                AllOf(StartsWith("json_type"), HasSubstr(damage.key), HasSubstr("expected"),
                      HasSubstr("found"), HasSubstr("x.perf.json")))
        << damage.key;
  }
}

TEST(PerfFile, HoldsItsLimits) {
  Json document = sglang_document(kMaxPerfEntries);
  EXPECT_EQ(error_of([&] { perf_of(document); }), "");
  document["denoise_steps_ms"].push_back({{"step", 0}, {"duration_ms", 1}});
  EXPECT_THAT(error_of([&] { perf_of(document); }), HasSubstr("denoise_steps_ms"));
  Json settings = Json::object();
  for (std::size_t i = 0; i < kMaxPerfSettings; ++i) settings[fmt::format("s{}", i)] = i;
  document = sglang_document();
  document["meta"] = {{"settings", settings}};
  EXPECT_EQ(error_of([&] { perf_of(document); }), "");
  document["meta"]["settings"]["one"] = 1;
  EXPECT_THAT(error_of([&] { perf_of(document); }), HasSubstr("too many"));
}

}  // namespace
}  // namespace ditq
