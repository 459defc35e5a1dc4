#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "pipeline/compare.h"
#include "support/paths.h"

namespace ditq {
namespace {

using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

const Json kRequest = {{"model_path", "/a"},
                       {"prompt", "a cat"},
                       {"seed", 1},
                       {"width", 64},
                       {"height", 64},
                       {"num_inference_steps", 2},
                       {"guidance_scale", 3.5},
                       {"true_cfg_scale", 1.0},
                       {"negative_prompt", ""},
                       {"max_sequence_length", 64},
                       {"generator_device", "cpu"},
                       {"attention_backend", "torch_sdpa"},
                       {"dtype", "bf16"}};

std::string write(const std::string& path,
                  const std::map<std::string, std::string>& metadata,
                  float initial = 0) {
  const std::vector<float> states{1, 2, 3, 4, 5, 6};
  const std::vector<float> first(3, initial);
  write_safetensors(path,
                    {{"initial_latents", Dtype::f32, {1, 3}, std::as_bytes(std::span(first))},
                     {"latents", Dtype::f32, {1, 2, 3}, std::as_bytes(std::span(states))}},
                    metadata);
  return path;
}

std::string write_request(const std::string& path, const Json& request, float initial = 0) {
  return write(path, {{"request", dump_json(request)}}, initial);
}

/// "" where the comparison is done.
std::string refusal(const std::string& reference, const std::string& candidate) {
  CompareRequest request;
  request.reference_file = reference;
  request.candidate_file = candidate;
  try {
    compare(request);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unfair);
    EXPECT_EQ(exit_code(error.code()), ExitCode::bad_input);
    return error.what();
  }
  return "";
}

TEST(FairTrajectories, MayDifferInCheckpointAndDtype) {
  const TemporaryFolder folder;
  Json other = kRequest;
  other["model_path"] = "/b";
  other["dtype"] = "fp32";
  other["guidance_scale"] = 3.50;
  EXPECT_EQ(refusal(write_request(folder / "a.safetensors", kRequest),
                    write_request(folder / "b.safetensors", other)),
            "");
}

TEST(FairTrajectories, AreRefusedForEveryOtherDifference) {
  const TemporaryFolder folder;
  const std::string reference = write_request(folder / "a.safetensors", kRequest);
  for (const auto& [key, value] : std::map<std::string, Json>{{"prompt", "a dog"},
                                                              {"seed", 2},
                                                              {"width", 128},
                                                              {"height", 32},
                                                              {"num_inference_steps", 3},
                                                              {"guidance_scale", 4},
                                                              {"true_cfg_scale", 2},
                                                              {"negative_prompt", "blurry"},
                                                              {"max_sequence_length", 128},
                                                              {"generator_device", "cuda"},
                                                              {"attention_backend", "fp8"}}) {
    Json other = kRequest;
    other[key] = value;
    EXPECT_THAT(refusal(reference, write_request(folder / "b.safetensors", other)),
                HasSubstr(key + ": " + dump_json(kRequest[key]) + " against " + dump_json(value)));
  }
}

TEST(FairTrajectories, NameEveryDifference) {
  const TemporaryFolder folder;
  Json other = kRequest;
  other["seed"] = 7;
  other["width"] = 96;
  EXPECT_THAT(refusal(write_request(folder / "a.safetensors", kRequest),
                      write_request(folder / "b.safetensors", other)),
              AllOf(HasSubstr("seed: 1 against 7"), HasSubstr("width: 64 against 96")));
}

TEST(FairTrajectories, BeganWithTheSameLatents) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal(write_request(folder / "a.safetensors", kRequest),
                      write_request(folder / "b.safetensors", kRequest, /*initial=*/1)),
              HasSubstr("initial_latents"));
}

TEST(FairTrajectories, AreComparedWhereNobodyKnows) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(write(folder / "a.safetensors", {}),
                    write_request(folder / "b.safetensors", kRequest, /*initial=*/1)),
            "");
  Json less = kRequest;
  less.erase("attention_backend");
  EXPECT_EQ(refusal(write_request(folder / "a.safetensors", less),
                    write_request(folder / "b.safetensors", kRequest)),
            "");
}

TEST(FairTrajectories, MayStateTheirRequestInSingleKeys) {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> first{
      {"prompt", "a cat"}, {"seed", "0"}, {"guidance", "3.5"}, {"variant", "bf16"}};
  std::map<std::string, std::string> second = first;
  second["variant"] = "fp8";
  const std::string reference = write(folder / "a.safetensors", first);
  EXPECT_EQ(refusal(reference, write(folder / "b.safetensors", second)), "");
  second["guidance"] = "4";
  EXPECT_THAT(refusal(reference, write(folder / "b.safetensors", second)),
              HasSubstr("guidance_scale: 3.5 against 4"));
}

}  // namespace
}  // namespace ditq
