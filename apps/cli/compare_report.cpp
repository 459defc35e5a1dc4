#include "compare_report.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "doctor/doctor.h"
#include "inspect_report.h"
#include "report/report.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Where a side's transformer is stored.
std::string transformer_of(const PipelineSources& sources) {
  if (!sources.transformer_weights_path.empty()) return sources.transformer_weights_path;
  const auto found = sources.components.find("transformer");
  return found == sources.components.end() ? sources.model_path + "/transformer" : found->second;
}

/// The weights' part: what the candidate is, and how far its layers are from the reference's.
void add_weights(const CompareRequest& request, ReportInput& input) {
  const std::string reference = transformer_of(request.reference);
  const std::string candidate = transformer_of(request.candidate);
  if (reference == candidate) return;
  try {
    log_info("report: examining the candidate's weights");
    input.inspect = to_json(inspect(candidate), /*layers=*/true);
    input.doctor = to_json(examine(candidate, reference));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::interrupted) throw;
    log_warning(std::string("the report goes without the layers' errors: ") + error.what());
  }
}

}  // namespace

void require_folder_of(const std::string& file) {
  if (file.empty()) return;
  const fs::path folder = fs::absolute(file).parent_path();
  if (fs::is_directory(folder)) return;
  throw Error(ErrorCode::storage, "the output's folder is not there",
              {.path = folder.string(), .advice = "Make it first"});
}

void write_compare_report(const std::string& file,
                          const CompareRequest& request,
                          const CompareResult& result) {
  ReportInput input{.title = {}, .comparison = result.report};
  if (request.reference_file.empty()) add_weights(request, input);
  for (const ComparedPicture& picture : result.pictures) {
    input.pairs.push_back({.run = static_cast<std::int64_t>(picture.run),
                           .frame_name = picture.frame,
                           .reference = picture.reference,
                           .candidate = picture.candidate});
  }
  const std::string page = html_report(input);
  write_text(file, page);
  log_info(file + ": " + human_bytes(page.size()));
}

}  // namespace ditq
