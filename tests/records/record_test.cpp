// Records: what they must show, and what follows from them.

#include "records/record.h"

#include <filesystem>
#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "records/matrix.h"

namespace ditq::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Json file_entry(const char* name) {
  return {{"name", name}, {"bytes", 10}, {"sha256", std::string(64, 'a')}};
}

/// A record that passes.
Json good_record() {
  return {{"ditq_record", 1},
          {"algorithm", "FP8"},
          {"base_model", "a/model"},
          {"family", "flux1"},
          {"repository", nullptr},
          {"flag", "--transformer-path"},
          {"documented", nullptr},
          {"caveats", {"a caveat"}},
          {"validation",
           {{"date", "2026-11-23"},
            {"case", nullptr},
            {"against", "BF16 baseline"},
            {"scope",
             {{"components", {"transformer"}},
              {"width", 256},
              {"height", 128},
              {"num_frames", 1},
              {"num_inference_steps", 20},
              {"prompts", 3},
              {"runs", 6},
              {"dtype", "bf16"},
              {"device", "a processor"},
              {"arithmetic", "emulated"}}},
            {"thresholds", {{{"metric", "psnr"}, {"op", ">="}, {"value", 28}}}},
            {"results", {{"cosine", 0.999}, {"psnr", 41.5}}},
            {"findings", Json::array()},
            {"speed", nullptr},
            {"checkpoint", {file_entry("transformer/model.safetensors")}},
            {"baseline", {file_entry("transformer/base.safetensors")}},
            {"versions", {{"ditq", "0.1"}, {"libtorch", "2.11.0"}}},
            {"commands", {"ditq compare"}}}}};
}

SupportRecord parse(const Json& document) {
  return parse_record(document, "folder/x.json");
}

/// The message of the refusal of a good record after `damage`.
std::string refusal(const std::function<void(Json&)>& damage) {
  Json document = good_record();
  damage(document);
  try {
    parse(document);
    return "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.code()), ExitCode::bad_input);
    return error.what();
  }
}

TEST(Record, IsReadAndWrittenBackTheSame) {
  EXPECT_EQ(to_json(parse(good_record())), good_record());
}

TEST(Record, PassesByItsFiguresAlone) {
  SupportRecord record = parse(good_record());
  EXPECT_EQ(state_of(record), SupportState::validated);
  record.validation->results["psnr"] = 27.999;
  EXPECT_EQ(state_of(record), SupportState::failed);
  EXPECT_THAT(shortfalls(*record.validation), ElementsAre("psnr is 27.999, required >= 28"));
  record.validation->results["psnr"] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(state_of(record), SupportState::failed);
  record.validation->results["psnr"] = std::numeric_limits<double>::infinity();
  EXPECT_EQ(state_of(record), SupportState::validated);
  record.validation->findings = {"the picture is blank"};
  EXPECT_THAT(shortfalls(*record.validation), ElementsAre("the picture is blank"));
  record.validation.reset();
  EXPECT_EQ(state_of(record), SupportState::not_validated);
}

TEST(Record, IsRefusedWhenItClaimsMoreThanItShows) {
  const auto& in = [](const char* key) { return [key](Json& d) { d["validation"].erase(key); }; };
  EXPECT_THAT(refusal(in("scope")), HasSubstr("validation.scope is missing"));
  EXPECT_THAT(refusal(in("findings")), HasSubstr("validation.findings is missing"));
  EXPECT_THAT(refusal(in("commands")), HasSubstr("validation.commands is missing"));
  EXPECT_THAT(refusal([](Json& d) { d.erase("validation"); }), HasSubstr("validation is missing"));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["thresholds"] = Json::array(); }),
              HasSubstr("nothing was required"));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["results"].erase("psnr"); }),
              HasSubstr("a result for the threshold psnr>=28"));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["checkpoint"] = Json::array(); }),
              HasSubstr("validation.checkpoint"));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["checkpoint"][0]["sha256"] = "abc"; }),
              HasSubstr("64 lower-case"));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["scope"]["width"] = 0; }),
              HasSubstr("validation.scope.width"));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["scope"]["num_inference_steps"] = "many"; }),
              HasSubstr("\"many\""));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["thresholds"][0]["op"] = "=="; }),
              HasSubstr("one of >="));
  EXPECT_THAT(refusal([](Json& d) { d["validation"]["date"] = "yesterday"; }), HasSubstr("a day"));
  EXPECT_THAT(refusal([](Json& d) { d["state"] = "validated"; }),
              HasSubstr("unknown member state"));
  EXPECT_THAT(refusal([](Json& d) { d["ditq_record"] = 2; }), HasSubstr("form of records"));
  EXPECT_THAT(refusal([](Json& d) { d = Json::array(); }), HasSubstr("an object"));
  EXPECT_EQ(refusal([](Json&) {}), "accepted");
}

TEST(Matrix, ClaimsExactlyTheScopeOfTheRecord) {
  SupportRecord record = parse(good_record());
  const std::string page = matrix_markdown({record});
  EXPECT_THAT(page, HasSubstr("| unpublished |"));
  EXPECT_THAT(
      page,
      HasSubstr("256 x 128, 20 steps, 6 pictures of 3 prompts, transformer only, bf16, emulated "
                "arithmetic, a processor, 2026-11-23 against the BF16 baseline"));
  EXPECT_THAT(page, HasSubstr("**validated**"));
  EXPECT_THAT(page, HasSubstr("psnr 41.5 (>= 28)"));
  EXPECT_THAT(page, HasSubstr("not measured"));
  EXPECT_THAT(page, Not(HasSubstr("cosine")));  // A figure without a bar proves nothing.
  record.repository = "lmsys/x";
  record.validation->results["psnr"] = 3;
  EXPECT_THAT(matrix_markdown({record}), HasSubstr("**failed**: psnr is 3, required >= 28"));
  EXPECT_THAT(matrix_markdown({record}), HasSubstr("`lmsys/x`"));
  record.validation.reset();
  EXPECT_THAT(matrix_markdown({record}), HasSubstr("not validated here"));
  EXPECT_THAT(matrix_markdown({record}), Not(HasSubstr("**")));
}

TEST(Matrix, KeepsItsColumnsWhateverARecordSays) {
  Json document = good_record();
  document["base_model"] = "a|b\nc<script>";
  const std::string page = matrix_markdown({parse(document)});
  EXPECT_THAT(page, HasSubstr("a\\|b c&lt;script>"));
}

TEST(Matrix, PutsWhatWasValidatedFirst) {
  SupportRecord open = parse(good_record());
  open.validation.reset();
  SupportRecord failed = parse(good_record());
  failed.validation->results["psnr"] = 1;
  const auto sorted = sorted_for_matrix({open, failed, parse(good_record())});
  EXPECT_EQ(state_of(sorted[0]), SupportState::validated);
  EXPECT_EQ(state_of(sorted[1]), SupportState::failed);
  EXPECT_EQ(state_of(sorted[2]), SupportState::not_validated);
  EXPECT_THAT(matrix_json({}).at("rows"), IsEmpty());
}

}  // namespace
}  // namespace ditq::test
