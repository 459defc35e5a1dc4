#include "pipeline/requirements.h"

#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

using testing::HasSubstr;

constexpr Measurable kBoth{.trajectory = true, .frames = true, .clip = true};
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// The error's text, or "" where there is none; every error of the parser is of usage.
std::string refusal(const std::string& text, Measurable inputs = kBoth) {
  try {
    parse_requirements(text, inputs);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    return error.what();
  }
  return "";
}

/// Three steps and two frames.
Measurements example() {
  const auto step = [](double cosine, double mae) {
    StepMetrics out;
    out.cosine_similarity = cosine;
    out.mae = mae;
    out.rmse = 2 * mae;
    return out;
  };
  const auto frame = [](double psnr) {
    FrameMetrics out;
    out.psnr_db = psnr;
    return out;
  };
  RunMeasurements run;
  run.trajectory = TrajectoryMetrics{.shape = {1, 3, 4},
                                     .steps = {step(1, 0.01), step(0.912, 0.3), step(0.95, 0.2)}};
  run.output = OutputMetrics{.frames = {frame(31), frame(27.5)},
                             .all_frames = {},
                             .ssim = {0.9, 0.8},
                             .clip = {0.99, 0.97}};
  return {.runs = {run}, .noise = {}};
}

Verdict verdict(const std::string& text, const Measurements& measured = example()) {
  const auto parsed = parse_requirements(text, kBoth);
  EXPECT_EQ(parsed.size(), 1);
  return check(parsed.front(), measured);
}

TEST(Requirements, AreMetricOperatorNumber) {
  const auto parsed =
      parse_requirements(" cosine >= 0.99, psnr>28 ,last.mae<=1e-2,rmse < .5,ssim>=+1", kBoth);
  ASSERT_EQ(parsed.size(), 5);
  EXPECT_EQ(parsed[0].metric, "cosine");
  EXPECT_EQ(parsed[0].op, ">=");
  EXPECT_EQ(parsed[0].bar, 0.99);
  EXPECT_EQ(parsed[0].value, BarValue::worst);
  EXPECT_EQ(parsed[1].op, ">");
  EXPECT_EQ(parsed[2].name(), "last.mae");
  EXPECT_EQ(parsed[2].bar, 0.01);
  EXPECT_EQ(parsed[3].op, "<");
  EXPECT_EQ(parsed[4].bar, 1);
  EXPECT_TRUE(asks_for(parsed, "ssim"));
  EXPECT_FALSE(asks_for(parsed, "l2"));
}

TEST(Requirements, OfNothingAreNone) {
  EXPECT_TRUE(parse_requirements("", kBoth).empty());
  EXPECT_TRUE(parse_requirements("  ", kBoth).empty());
}

TEST(Requirements, RefuseWhatIsNoBar) {
  for (const char* text :
       {"cosine", "cosine=0.9", "cosine==0.9", "cosine>=", ">=0.9", "cosine>=x", "cosine>=0.9x",
        "cosine>=nan", "cosine>=inf", "cosine>=1e999", "cosine=>0.9", "cosine>=0.9,",
        ",cosine>=0.9", "cosine>=0.9;psnr>=28", "cosine>=0.9 psnr>=28", "cosine><0.9",
        "cosine>=>=0.9", "cosine>=+-1", ","}) {
    EXPECT_NE(refusal(text), "") << text;
  }
}

TEST(Requirements, NameTheMetricsThatThereAre) {
  EXPECT_THAT(refusal("cosin>=0.9"), HasSubstr("'cosin'"));
  EXPECT_THAT(refusal("cosin>=0.9"), HasSubstr("cosine, mae"));
  EXPECT_NE(refusal("COSINE>=0.9"), "");
  EXPECT_NE(refusal("first.cosine>=0.9"), "");
  EXPECT_NE(refusal("last.>=0.9"), "");
  EXPECT_NE(refusal("last.last.cosine>=0.9"), "");
  EXPECT_NE(refusal("last.psnr>=28"), "");
}

TEST(Requirements, OfNoiseNeedTwoCheckpoints) {
  EXPECT_THAT(refusal("noise_l2<=0.1"), HasSubstr("do not tell what a transformer predicts"));
  const Measurable checkpoints{.trajectory = true, .frames = true, .noise = true};
  EXPECT_EQ(refusal("noise_l2<=0.1,psnr>=28", checkpoints), "");
  EXPECT_NE(refusal("last.noise_l2<=0.1", checkpoints), "");
}

TEST(Requirements, OfATunedSetAreNoiseAlone) {
  EXPECT_THAT(refusal("psnr>=28", {.noise = true}), HasSubstr("noise_l2 is the one figure"));
}

TEST(Requirements, OfClipNeedAnEncoder) {
  EXPECT_THAT(refusal("clip>=0.9", {.trajectory = true, .frames = true}),
              HasSubstr("--clip-image-encoder"));
  EXPECT_EQ(refusal("clip>=0.9,mean.clip>=0.95"), "");
}

/// The example, a better run, and a worse one.
Measurements three_runs() {
  Measurements out = example();
  RunMeasurements better = out.runs.front();
  for (StepMetrics& step : better.trajectory->steps) step.cosine_similarity = 0.999;
  for (FrameMetrics& frame : better.output->frames) frame.psnr_db = 40;
  RunMeasurements worse = out.runs.front();
  worse.trajectory->steps[2].cosine_similarity = 0.8;
  worse.output->frames[0].psnr_db = 20;
  out.runs.push_back(better);
  out.runs.push_back(worse);
  return out;
}

TEST(Requirements, HoldTheWorstOfAllRuns) {
  EXPECT_EQ(verdict("cosine>=0.99", three_runs()).sentence,
            "cosine: run 2, worst step 2 has 0.8, required >= 0.99");
  EXPECT_EQ(verdict("psnr>=28", three_runs()).sentence,
            "psnr: run 2, worst frame 0 has 20, required >= 28");
  EXPECT_EQ(verdict("last.cosine>=0.99", three_runs()).sentence,
            "last.cosine: run 2, step 2 has 0.8, required >= 0.99");
}

TEST(Requirements, HoldTheMeanOfTheRunsWorst) {
  // (27.5 + 40 + 20) / 3
  EXPECT_EQ(verdict("mean.psnr>=30", three_runs()).sentence,
            "mean.psnr: the worst frame of 3 runs has on average 29.1666667, required >= 30");
  EXPECT_TRUE(verdict("mean.psnr>=29", three_runs()).holds);
  EXPECT_TRUE(verdict("mean.clip>=0.97", three_runs()).holds);
  EXPECT_NE(refusal("mean.last.cosine>=0.9"), "");
  EXPECT_NE(refusal("mean.noise_l2<=0.9"), "");
}

TEST(Requirements, SayByHowMuchTheyAreMissed) {
  const auto parsed = parse_requirements("psnr>=28", kBoth).front();
  EXPECT_EQ(missed_sentence(parsed, check(parsed, example())),
            "psnr: worst frame 1 has 27.5, required >= 28 (missed by 0.5)");
}

TEST(Requirements, HoldTheLargestDistances) {
  Measurements measured = example();
  measured.runs[0].trajectory->steps[1].relative_l2 = 0.25;
  measured.runs[0].output->frames[0].mae = 3;
  EXPECT_EQ(verdict("relative_l2<=0.1", measured).sentence,
            "relative_l2: worst step 1 has 0.25, required <= 0.1");
  EXPECT_EQ(verdict("pixel_mae<=2", measured).sentence,
            "pixel_mae: worst frame 0 has 3, required <= 2");
}

TEST(Requirements, HoldTheMeanError) {
  const Measurements measured{.runs = {},
                              .noise = NoiseError{.l2 = {{0.02, 0.04}}, .cosine = {{1, 1}}}};
  const Measurable inputs{.noise = true};
  EXPECT_TRUE(check(parse_requirements("noise_l2<=0.03", inputs).front(), measured).holds);
  const Verdict missed = check(parse_requirements("noise_l2<0.03", inputs).front(), measured);
  EXPECT_FALSE(missed.holds);
  EXPECT_EQ(missed.sentence, "noise_l2: 1 prompts and 2 steps have 0.03, required < 0.03");
}

TEST(Requirements, RefuseWhatTheInputsDoNotGive) {
  const Measurable trajectories{.trajectory = true, .frames = false};
  const Measurable pictures{.trajectory = false, .frames = true};
  for (const char* metric : {"psnr", "ssim", "pixel_mae", "mean.psnr"}) {
    EXPECT_NE(refusal(metric + std::string(">=1"), trajectories), "") << metric;
    EXPECT_EQ(refusal(metric + std::string(">=1"), pictures), "") << metric;
  }
  for (const char* metric : {"cosine", "mae", "mse", "rmse", "max_abs", "l2", "relative_l2",
                             "last.cosine", "mean.cosine", "last.relative_l2"}) {
    EXPECT_NE(refusal(metric + std::string(">=1"), pictures), "") << metric;
    EXPECT_EQ(refusal(metric + std::string(">=1"), trajectories), "") << metric;
  }
}

TEST(Requirements, HoldTheWorstStep) {
  EXPECT_FALSE(verdict("cosine>=0.99").holds);
  EXPECT_EQ(verdict("cosine>=0.99").sentence, "cosine: worst step 1 has 0.912, required >= 0.99");
  EXPECT_TRUE(verdict("cosine>=0.912").holds);
  EXPECT_FALSE(verdict("cosine>0.912").holds);
  EXPECT_EQ(verdict("mae<=0.25").sentence, "mae: worst step 1 has 0.3, required <= 0.25");
  EXPECT_TRUE(verdict("rmse<=0.6").holds);
  EXPECT_FALSE(verdict("rmse<0.6").holds);
}

TEST(Requirements, HoldTheLastStepWhereAsked) {
  EXPECT_TRUE(verdict("last.cosine>=0.95").holds);
  EXPECT_EQ(verdict("last.mae<=0.1").sentence, "last.mae: step 2 has 0.2, required <= 0.1");
}

TEST(Requirements, HoldTheWorstFrame) {
  EXPECT_EQ(verdict("psnr>=28").sentence, "psnr: worst frame 1 has 27.5, required >= 28");
  EXPECT_FALSE(verdict("ssim>0.8").holds);
  EXPECT_TRUE(verdict("ssim>=0.8").holds);
}

TEST(Requirements, AreMetByEqualPictures) {
  Measurements equal = example();
  for (FrameMetrics& frame : equal.runs[0].output->frames) {
    frame.psnr_db = std::numeric_limits<double>::infinity();
  }
  EXPECT_TRUE(verdict("psnr>=100", equal).holds);
  EXPECT_FALSE(verdict("psnr<=100", equal).holds);
}

TEST(Requirements, AreNeverMetByNan) {
  Measurements broken = example();
  broken.runs[0].trajectory->steps[0].cosine_similarity = kNan;
  broken.runs[0].trajectory->steps[0].mae = kNan;
  broken.runs[0].trajectory->steps[2].rmse = kNan;
  for (const char* bar : {"cosine>=-2", "cosine<=2", "cosine>-2", "cosine<2", "mae>=0", "mae<=9",
                          "rmse<=9", "last.rmse<=9", "last.rmse>=0"}) {
    EXPECT_FALSE(verdict(bar, broken).holds) << bar;
  }
  EXPECT_THAT(verdict("cosine>=0.5", broken).sentence, HasSubstr("worst step 0 has nan"));
  EXPECT_TRUE(verdict("last.cosine>=0.9", broken).holds);
}

TEST(Requirements, PrintEnoughDigitsToSeeTheMiss) {
  Measurements close = example();
  close.runs[0].trajectory->steps[2].cosine_similarity = 1;
  close.runs[0].trajectory->steps[1].cosine_similarity = 0.98999994993209839;  // the f32 below 0.99
  EXPECT_EQ(verdict("cosine>=0.99", close).sentence,
            "cosine: worst step 1 has 0.98999995, required >= 0.99");
}

}  // namespace
}  // namespace ditq
