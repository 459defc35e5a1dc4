#include "pipeline/compare_files.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "format/safetensors.h"
#include "pipeline/metrics.h"
#include "pipeline/ssim.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

const char* name_of(ResultKind kind) {
  return kind == ResultKind::trajectory ? "a trajectory" : "a picture";
}

std::string ending(const std::string& path) {
  std::string out = fs::path(path).extension().string();
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

Tensor read_latents_over_time(const SafetensorsFile& file) {
  const TensorInfo* info = file.find("latents");
  if (info == nullptr) {
    throw Error(ErrorCode::missing_tensor, "a trajectory file holds the latents after every step",
                {.path = file.path,
                 .tensor = "latents",
                 .advice = "'ditq generate --return-trajectory-latents' writes such files"});
  }
  const Tensor latents = from_file(*info);
  if (!at::isFloatingType(latents.scalar_type())) {
    throw Error(ErrorCode::wrong_dtype, "latents are floating-point numbers",
                {.path = file.path, .tensor = "latents", .found = std::string(name(info->dtype))});
  }
  if (latents.dim() < 2 || latents.numel() == 0) {
    throw Error(ErrorCode::wrong_shape, "latents after every step are stacked on dimension 1",
                {.path = file.path,
                 .tensor = "latents",
                 .expected = "[batch, steps, …], none of them 0",
                 .found = to_string(info->shape)});
  }
  return latents;
}

/// The timesteps, where the file has one for each step. A file may hold the last latents alone.
std::optional<std::vector<float>> read_timesteps(const SafetensorsFile& file, std::int64_t steps) {
  const TensorInfo* info = file.find("timesteps");
  if (info == nullptr) return std::nullopt;
  const Tensor values = from_file(*info).to(at::kFloat).reshape({-1});
  if (values.numel() != steps) {
    log_warning(fmt::format("{}: {} timesteps for {} steps; they are left out of the report",
                            file.path, values.numel(), steps));
    return std::nullopt;
  }
  const float* first = values.const_data_ptr<float>();
  return std::vector<float>(first, first + steps);
}

States read_states(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const Tensor latents = read_latents_over_time(file);
  return {.latents = latents, .timesteps = read_timesteps(file, latents.size(1))};
}

/// Raises when what the two files hold differs in size.
void require_equal(const CompareRequest& request,
                   const char* what,
                   const std::string& reference,
                   const std::string& candidate) {
  if (reference == candidate) return;
  throw Error(ErrorCode::wrong_shape, fmt::format("{} of reference and candidate differ", what),
              {.path = request.candidate_file,
               .expected = fmt::format("{} as in {}", reference, request.reference_file),
               .found = candidate});
}

TrajectoryMetrics measure_trajectories(const CompareRequest& request) {
  const States reference = read_states(request.reference_file);
  const States candidate = read_states(request.candidate_file);
  require_equal(request, "the shapes of the latents", to_string(shape_of(reference.latents)),
                to_string(shape_of(candidate.latents)));
  return trajectory_metrics(reference, candidate, request.trajectory_step_index);
}

std::string size_text(const Picture& picture) {
  return fmt::format("{} x {}", picture.width, picture.height);
}

Measurements measure_pictures(const CompareRequest& request, bool with_ssim) {
  const Picture reference = read_png(request.reference_file);
  const Picture candidate = read_png(request.candidate_file);
  require_equal(request, "the sizes of the pictures", size_text(reference), size_text(candidate));
  Measurements out;
  out.output = output_metrics({frame_tensor(reference)}, {frame_tensor(candidate)});
  if (!with_ssim) return out;
  if (std::min(reference.width, reference.height) < kSsimWindow) {
    throw Error(ErrorCode::usage, "--require: the pictures are too small for ssim",
                {.path = request.reference_file,
                 .expected = fmt::format("at least {} x {}", kSsimWindow, kSsimWindow),
                 .found = size_text(reference)});
  }
  out.ssim.push_back(ssim(reference, candidate));
  return out;
}

}  // namespace

ResultKind result_kind(const std::string& path) {
  if (!fs::exists(path)) throw Error(ErrorCode::file_not_found, "no such file", {.path = path});
  constexpr const char* kReadable = "a trajectory (.safetensors) or a picture (.png)";
  if (fs::is_directory(path)) {
    throw Error(ErrorCode::unsupported, "folders cannot be compared",
                {.path = path, .expected = kReadable});
  }
  const std::string found = ending(path);
  if (found == ".safetensors") return ResultKind::trajectory;
  if (found == ".png") return ResultKind::picture;
  throw Error(ErrorCode::unsupported, "files of this kind cannot be compared",
              {.path = path,
               .expected = kReadable,
               .found = found.empty() ? "no file name ending" : found});
}

ResultKind common_result_kind(const CompareRequest& request) {
  if (request.reference_file.empty() || request.candidate_file.empty()) {
    throw Error(ErrorCode::usage, "--reference and --candidate belong together");
  }
  const ResultKind reference = result_kind(request.reference_file);
  const ResultKind candidate = result_kind(request.candidate_file);
  if (reference == candidate) return reference;
  throw Error(ErrorCode::usage, "--reference and --candidate must be of one kind",
              {.path = request.candidate_file,
               .expected = fmt::format("{} as {}", name_of(reference), request.reference_file),
               .found = name_of(candidate)});
}

Measurements measure_files(const CompareRequest& request,
                           ResultKind kind,
                           const std::vector<Requirement>& requirements) {
  if (kind == ResultKind::picture) {
    return measure_pictures(request, asks_for(requirements, "ssim"));
  }
  Measurements out;
  out.trajectory = measure_trajectories(request);
  return out;
}

}  // namespace ditq
