// The tracked documents: records, cases, and the page that is made of them.

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "records/cases.h"
#include "records/matrix.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using testing::HasSubstr;

std::string document(const std::string& name) {
  return (source_dir() / "docs" / name).string();
}

TEST(SupportMatrix, PageIsWhatTheRecordsGive) {
  EXPECT_EQ(read_text(document("support-matrix.md")),
            matrix_markdown(read_records(document("support/records"))))
      << "ditq matrix --markdown > docs/support-matrix.md puts it right";
}

// Source: SGLang bridge reference 8.
TEST(SupportMatrix, HasTheThirteenDocumentedCheckpoints) {
  std::set<std::string> repositories;
  int fp8 = 0;
  for (const SupportRecord& record : read_records(document("support/records"))) {
    if (record.repository.empty()) continue;
    EXPECT_TRUE(repositories.insert(record.repository).second) << record.repository;
    fp8 += record.algorithm == "FP8" ? 1 : 0;
    EXPECT_FALSE(record.documented.empty()) << record.path;
    EXPECT_FALSE(record.caveats.empty()) << record.path;
  }
  EXPECT_EQ(repositories.size(), 13u);
  EXPECT_EQ(fp8, 6);
  EXPECT_EQ(std::count_if(repositories.begin(), repositories.end(),
                          [](const std::string& name) { return name.starts_with("lmsys/"); }),
            12);
}

// Source: SGLang bridge reference 9.
TEST(Cases, HaveTheBarsOfTheTests) {
  const auto cases = read_cases(document("support/cases.json"));
  EXPECT_EQ(cases.size(), 11u);
  EXPECT_EQ(bars_text(find_case(cases, "flux1_modelopt_fp8_t2i").thresholds),
            "clip>=0.96,ssim>=0.94,psnr>=28,pixel_mae<=6.3");
  EXPECT_EQ(find_case(cases, "flux2_modelopt_fp8_t2i").id, "flux2_modelopt_fp8_tp2_t2i");
  EXPECT_EQ(find_case(cases, "qwen_image_2512_modelopt_nvfp4_t2i").num_inference_steps, 50);
  const SupportCase& video = find_case(cases, "wan22_modelopt_nvfp4_t2v");
  EXPECT_EQ(video.num_frames, 17);
  EXPECT_EQ(bars_text(video.thresholds), "clip>=0.9,ssim>=0.92,psnr>=24,pixel_mae<=10");
  try {
    find_case(cases, "flux1");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_THAT(error.what(), HasSubstr("ideogram4_nvfp4_t2i"));
  }
}

}  // namespace
}  // namespace ditq::test
