#include "pipeline/fp4_backend.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

/// Sets the environment variable for one test.
class Environment {
 public:
  explicit Environment(const char* value) { ::setenv(kFp4BackendVariable, value, 1); }
  ~Environment() { ::unsetenv(kFp4BackendVariable); }
};

TEST(Fp4Backend, IsTheDefaultWithoutAChoice) {
  const Fp4Backend backend = choose_fp4_backend({});
  EXPECT_EQ(backend.requested, "default");
  EXPECT_EQ(backend.running, "cpu_emulation");
  EXPECT_TRUE(backend.reason.empty());
  EXPECT_TRUE(to_json(backend)["reason"].is_null());
}

TEST(Fp4Backend, TakesTheFlagBeforeTheEnvironmentWhateverTheCase) {
  const Environment environment("cutlass");
  const Fp4Backend both = choose_fp4_backend({.fp4_gemm_backend = "TRTLLM"});
  EXPECT_EQ(both.requested, "trtllm");
  EXPECT_EQ(both.from, "--fp4-gemm-backend");
  EXPECT_FALSE(both.reason.empty());
  const Fp4Backend one = choose_fp4_backend({});
  EXPECT_EQ(one.requested, "cutlass");
  EXPECT_EQ(one.from, kFp4BackendVariable);
}

TEST(Fp4Backend, LeavesTheEnvironmentOutWhereAComparisonSaysSo) {
  const Environment environment("cutlass");
  EXPECT_EQ(choose_fp4_backend({.fp4_backend_environment = false}).requested, "default");
}

TEST(Fp4Backend, RefusesAnUnknownFlagAndIgnoresAnUnknownEnvironment) {
  const Environment environment("cublas");
  EXPECT_EQ(choose_fp4_backend({}).requested, "default");
  try {
    choose_fp4_backend({.fp4_gemm_backend = "cublas"});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_NE(std::string(error.what()).find("cublas"), std::string::npos);
  }
}

TEST(Fp4Backend, KnowsAllOfSglangsNames) {
  for (const char* name : {"auto", "cudnn", "cutlass", "trtllm", "flashinfer_cudnn",
                           "flashinfer_cutlass", "flashinfer_trtllm"}) {
    EXPECT_EQ(choose_fp4_backend({.fp4_gemm_backend = name}).requested, name);
  }
}

}  // namespace
}  // namespace ditq
