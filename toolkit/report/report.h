#pragma once
// The HTML report: one self-contained page that opens offline, from the documents that the commands write (docs/report.md).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "media/picture.h"

namespace ditq {

/// Two pictures of one run, to be shown side by side. An empty one (width 0) is said to be missing.
struct ReportPair {
  std::int64_t run = 0;    ///< index among the comparison's runs
  std::string frame_name;  ///< of a video: "first", "middle", "last"; empty for a picture
  Picture reference;
  Picture candidate;
};

/// What errors call the documents: their files' names where there are files.
struct ReportNames {
  std::string comparison = "the comparison";
  std::string bench = "the benchmark";
  std::string doctor = "the doctor's report";
  std::string inspect = "the inspection";
  std::string record = "the record";
};

/// Everything that a report shows. What is absent leaves its section out, or a sentence in its place.
struct ReportInput {
  std::string title;                 ///< empty: made from the comparison
  Json comparison;                   ///< what `ditq compare --output-json` writes
  std::optional<Json> bench = {};    ///< `ditq bench --output-json`
  std::optional<Json> doctor = {};   ///< `ditq doctor --json --base …` of the candidate
  std::optional<Json> inspect = {};  ///< `ditq inspect --json --layers` of the candidate
  std::optional<Json> record = {};   ///< `ditq validate`'s record
  std::vector<ReportPair> pairs = {};
  ReportNames names = {};
};

/// As many pairs as a page shows; further ones, beginning with the best PSNR, are left out.
inline constexpr std::size_t kMostReportPairs = 30;

/// The pictures that the comparison names (runs[].output_files), of the kMostReportPairs worst runs that name both.
/// Relative paths are taken from the folder where the command runs, and where nothing is there from that of the
/// comparison's file. A picture that is not there is a warning, and missing on the page.
/// Errors: json_type; bad_picture and others of read_png, for a file that is there and is none.
std::vector<ReportPair> read_report_pairs(const ReportInput& input);

/// The page. The same input gives the same bytes.
/// Errors: json_type for a document of another kind, or a member of another type, naming document and key.
std::string html_report(const ReportInput& input);

}  // namespace ditq
