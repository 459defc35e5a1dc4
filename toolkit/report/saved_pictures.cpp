// The pictures that a comparison saved, found again.

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/log.h"
#include "report/comparison.h"
#include "report/documents.h"
#include "report/report.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// The file as the comparison names it, or beside the comparison; empty: nowhere.
std::string find_file(const std::string& named, const std::string& comparison) {
  std::error_code error;
  if (fs::exists(named, error)) return named;
  const fs::path folder = fs::path(comparison).parent_path();
  for (const fs::path& path : {folder / named, folder / fs::path(named).filename()}) {
    if (fs::exists(path, error)) return path.string();
  }
  return {};
}

Picture read_saved(const std::string& named, const std::string& comparison) {
  const std::string path = find_file(named, comparison);
  if (!path.empty()) return read_png(path);
  log_warning(fmt::format("{} names the picture {}, which is not there: the report goes without it",
                          comparison, named));
  return {};
}

}  // namespace

std::vector<ReportPair> read_report_pairs(const ReportInput& input) {
  check_document(input.comparison, DocumentKind::comparison, input.names.comparison);
  std::vector<RunView> runs = read_runs(Node(input.comparison, input.names.comparison));
  std::stable_sort(runs.begin(), runs.end(), [](const RunView& a, const RunView& b) {
    return is_worse(a.worst_frame().psnr_db, b.worst_frame().psnr_db, Better::high);
  });
  std::vector<ReportPair> out;
  for (const RunView& run : runs) {
    if (run.reference_file.empty() || run.candidate_file.empty()) continue;
    if (out.size() == kMostReportPairs) break;
    ReportPair pair{.run = run.index,
                    .frame_name = "",
                    .reference = read_saved(run.reference_file, input.names.comparison),
                    .candidate = read_saved(run.candidate_file, input.names.comparison)};
    if (pair.reference.width > 0 || pair.candidate.width > 0) out.push_back(std::move(pair));
  }
  return out;
}

}  // namespace ditq
