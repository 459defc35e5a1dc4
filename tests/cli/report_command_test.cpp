// report as a user runs it: documents and pictures in files, one page out.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/ditq_program.h"
#include "report/sample_documents.h"

namespace ditq::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// compare.json with the pictures that it names beside it.
void put_comparison(const TemporaryFolder& folder, int runs) {
  write_text(folder / "compare.json", dump_json(comparison_document(runs)));
  for (int run = 0; run < runs; ++run) {
    const ReportPair pair = pair_of_pictures(run, 32, 24, 9);
    const std::string name = "-00" + std::to_string(run) + ".png";
    write_png(folder / ("reference" + name), pair.reference);
    write_png(folder / ("candidate" + name), pair.candidate);
  }
}

TEST(ReportCommand, MakesOnePageOfAllDocuments) {
  const TemporaryFolder folder;
  put_comparison(folder, 2);
  write_text(folder / "bench.json", dump_json(bench_document()));
  write_text(folder / "doctor.json", dump_json(doctor_document(3)));
  write_text(folder / "inspect.json", dump_json(inspect_document(3)));
  write_text(folder / "record.json", dump_json(record_document()));
  const ProcessResult result =
      ditq({"report", "--comparison", folder / "compare.json", "--bench", folder / "bench.json",
            "--doctor", folder / "doctor.json", "--inspect", folder / "inspect.json", "--record",
            folder / "record.json", "--title", "FP8 & more", "--output", folder / "report.html"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json out = parse_json(result.out, "stdout");
  EXPECT_EQ(out["report"], folder / "report.html");
  EXPECT_EQ(out["bytes"], std::filesystem::file_size(folder / "report.html"));
  const std::string page = read_text(folder / "report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("<title>FP8 &amp; more</title>"), HasSubstr("id=\"pictures\""),
                          HasSubstr("the largest is 9 of 255"), HasSubstr("id=\"speed\""),
                          HasSubstr("id=\"layers\""), HasSubstr("id=\"kept\"")));
}

TEST(ReportCommand, WarnsAboutAPictureThatIsGone) {
  const TemporaryFolder folder;
  put_comparison(folder, 2);
  std::filesystem::remove(folder / "candidate-001.png");
  const ProcessResult result =
      ditq({"report", "--comparison", folder / "compare.json", "--output", folder / "report.html"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("warning:"), HasSubstr("candidate-001.png")));
  EXPECT_THAT(read_text(folder / "report.html"), HasSubstr("No picture."));
}

TEST(ReportCommand, RefusesDocumentsOfAnotherKindNamingFileAndKey) {
  const TemporaryFolder folder;
  put_comparison(folder, 1);
  write_text(folder / "bench.json", dump_json(doctor_document(1)));
  const ProcessResult other = ditq({"report", "--comparison", folder / "compare.json", "--bench",
                                    folder / "bench.json", "--output", folder / "report.html"});
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_THAT(other.err, AllOf(HasSubstr("bench.json"), HasSubstr("'speedup'")));
  EXPECT_FALSE(std::filesystem::exists(folder / "report.html"));

  write_text(folder / "list.json", "[]");
  const ProcessResult list =
      ditq({"report", "--comparison", folder / "list.json", "--output", folder / "report.html"});
  EXPECT_EQ(list.exit_code, 3);
  EXPECT_THAT(list.err, HasSubstr("list.json"));
  EXPECT_EQ(ditq({"report", "--comparison", folder / "absent.json", "--output", "x"}).exit_code, 3);
  EXPECT_EQ(ditq({"report", "--output", folder / "report.html"}).exit_code, 2);
}

TEST(ReportCommand, LeavesTheOldPageWhereItCannotWriteANewOne) {
  const TemporaryFolder folder;
  put_comparison(folder, 1);
  EXPECT_EQ(ditq({"report", "--comparison", folder / "compare.json", "--output",
                  folder / "no-such-folder/report.html"})
                .exit_code,
            5);
}

}  // namespace
}  // namespace ditq::test
