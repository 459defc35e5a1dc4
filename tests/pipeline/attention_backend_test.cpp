#include "pipeline/attention_backend.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

std::string covered(const std::string& range, std::int64_t count) {
  const StepRange steps = StepRange::parse(range);
  std::string out;
  for (std::int64_t i = 0; i < count; ++i) out += steps.contains(i, count) ? '1' : '0';
  return out;
}

TEST(StepRange, CountsAsPythonsSlicesDo) {
  EXPECT_EQ(covered("1:-1", 5), "01110");
  EXPECT_EQ(covered(":", 3), "111");
  EXPECT_EQ(covered("2:", 4), "0011");
  EXPECT_EQ(covered(":2", 4), "1100");
  EXPECT_EQ(covered("-2:", 4), "0011");
  EXPECT_EQ(covered(":0", 3), "000");
  EXPECT_EQ(covered("1:-1", 2), "00");
  EXPECT_EQ(covered("1:-1", 1), "0");
  EXPECT_EQ(covered("-9:9", 3), "111");
}

TEST(StepRange, RefusesWhatIsNone) {
  for (const char* text : {"", "3", "a:b", "1:2:3", "1 :2", "1:x"}) {
    EXPECT_THROW(StepRange::parse(text), Error) << text;
  }
}

const AttentionHeads kHeads{.device = at::kCPU, .dtype = at::kBFloat16, .head_dim = 128};

ErrorCode refusal(const RunOptions& options) {
  try {
    choose_attention_backend(options, kHeads);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << options.attention_backend << " is not refused";
  return ErrorCode::check_failed;
}

TEST(AttentionBackend, IsTheDevicesOwnUnlessFp8WasChosen) {
  for (const char* name : {"", "auto", "torch_sdpa"}) {
    const AttentionBackend backend = choose_attention_backend({.attention_backend = name}, kHeads);
    EXPECT_EQ(backend.name(), "torch_sdpa");
    EXPECT_TRUE(fp8_attention_json(backend, 8).is_null());
  }
}

TEST(AttentionBackend, RecordsWhichStepsRanInFp8) {
  const AttentionBackend backend =
      choose_attention_backend({.attention_backend = "fp8", .fp8_attention_steps = "2:-1"}, kHeads);
  EXPECT_EQ(backend.name(), "fp8");
  const Json record = fp8_attention_json(backend, 8);
  EXPECT_EQ(record["steps_run"], 5);
  EXPECT_EQ(record["arithmetic"], "emulated");
  EXPECT_EQ(record["other_steps"], "torch_sdpa");
}

TEST(AttentionBackend, RefusesByName) {
  EXPECT_EQ(refusal({.attention_backend = "cudnn"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.attention_backend = "ditq"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.attention_backend = "sage_attn"}), ErrorCode::unsupported);
  EXPECT_EQ(refusal({.attention_backend = "fp9"}), ErrorCode::usage);
  EXPECT_EQ(refusal({.attention_backend = "fp8", .fp8_attention_steps = "some"}), ErrorCode::usage);
}

}  // namespace
}  // namespace ditq
