#include "pipeline/compare_files.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "format/safetensors.h"
#include "media/frames.h"
#include "pipeline/fair_trajectories.h"
#include "pipeline/latent_health.h"
#include "pipeline/metrics.h"
#include "pipeline/ssim.h"

namespace ditq {
namespace {

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

States read_states(const SafetensorsFile& file) {
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

/// What files tell of themselves.
Json files_report(const CompareRequest& request, const Json& settings) {
  const auto side = [](const std::string& path) { return Json{{"sources", {{"file", path}}}}; };
  return {
      {"reference", request.reference_file},
      {"candidate", request.candidate_file},
      {"settings", settings},
      {"sides",
       {{"reference", side(request.reference_file)}, {"candidate", side(request.candidate_file)}}}};
}

template <typename Value>
std::optional<Value> stated(const Json& settings, const char* key) {
  const auto found = settings.find(key);
  if (found == settings.end()) return std::nullopt;
  if constexpr (std::is_same_v<Value, std::string>) {
    if (!found->is_string()) return std::nullopt;
  } else if (!found->is_number_integer()) {
    return std::nullopt;
  }
  return found->template get<Value>();
}

SavedResults measure_trajectories(const CompareRequest& request) {
  const SafetensorsFile reference_file = SafetensorsFile::open(request.reference_file);
  const SafetensorsFile candidate_file = SafetensorsFile::open(request.candidate_file);
  const States reference = read_states(reference_file);
  const States candidate = read_states(candidate_file);
  const Json settings = require_fair(reference_file, candidate_file);
  require_equal(request, "the shapes of the latents", to_string(shape_of(reference.latents)),
                to_string(shape_of(candidate.latents)));
  SavedResults out{.report = files_report(request, settings), .run = {}, .pictures = {}};
  out.run.prompt = stated<std::string>(settings, "prompt");
  out.run.seed = stated<std::uint64_t>(settings, "seed");
  out.run.measured.trajectory =
      trajectory_metrics(reference, candidate, request.trajectory_step_index);
  out.run.reference.steps = latent_statistics(reference.latents);
  out.run.candidate.steps = latent_statistics(candidate.latents);
  return out;
}

std::string size_text(const Picture& picture) {
  return fmt::format("{} x {}", picture.width, picture.height);
}

/// One picture as a sequence of one frame.
class OnePicture : public FrameSource {
 public:
  explicit OnePicture(const std::string& path) : path_(path) {}
  bool next(Picture& frame) override {
    if (std::exchange(done_, true)) return false;
    frame = read_picture(path_);
    return true;
  }

 private:
  std::string path_;
  bool done_ = false;
};

std::unique_ptr<FrameSource> open_result(const std::string& path, ResultKind kind) {
  if (kind == ResultKind::picture) return std::make_unique<OnePicture>(path);
  return open_frames(path);
}

/// Reads two sequences side by side, frame by frame.
class FramePairs {
 public:
  FramePairs(const CompareRequest& request, ResultKind kind)
      : request_(request),
        reference_(open_result(request.reference_file, kind)),
        candidate_(open_result(request.candidate_file, kind)) {}

  /// False behind the last pair. Errors: wrong_shape (sizes or counts of frames differ), those of the readers.
  bool next(ComparedPicture& pair) {
    const bool more = reference_->next(pair.reference);
    if (more != candidate_->next(pair.candidate)) {
      const std::string other = fmt::format("more than {} frames", count_);
      const std::string ended = fmt::format("{} frames", count_);
      require_equal(request_, "the numbers of frames", more ? other : ended, more ? ended : other);
    }
    if (!more) return false;
    const std::string size = size_text(pair.reference);
    require_equal(request_, "the sizes of the pictures", size, size_text(pair.candidate));
    if (count_++ == 0) size_ = size;
    if (size != size_) {
      throw Error(ErrorCode::wrong_shape, "the frames of a video have one size",
                  {.path = request_.reference_file, .expected = size_, .found = size});
    }
    return true;
  }

 private:
  const CompareRequest& request_;
  std::unique_ptr<FrameSource> reference_;
  std::unique_ptr<FrameSource> candidate_;
  std::size_t count_ = 0;
  std::string size_;
};

void require_window(const CompareRequest& request,
                    const Picture& picture,
                    const std::vector<Requirement>& requirements) {
  if (std::min(picture.width, picture.height) >= kSsimWindow) return;
  if (!asks_for(requirements, "ssim")) return;
  throw Error(ErrorCode::usage, "the pictures are too small for ssim",
              {.path = request.reference_file,
               .expected = fmt::format("at least {0} x {0}", kSsimWindow),
               .found = size_text(picture)});
}

/// Frame `index` of both, read once more: which one is in the middle is known at the end only.
ComparedPicture frame_at(const CompareRequest& request, ResultKind kind, std::size_t index) {
  FramePairs pairs(request, kind);
  ComparedPicture out;
  for (std::size_t i = 0; i <= index && pairs.next(out); ++i) continue;
  return out;
}

/// First, middle and last frame of a video, for people to look at.
std::vector<ComparedPicture> shown_frames(const CompareRequest& request,
                                          ResultKind kind,
                                          std::size_t count,
                                          ComparedPicture first,
                                          ComparedPicture last) {
  std::vector<ComparedPicture> out;
  first.frame = kind == ResultKind::frames ? "first" : "";
  out.push_back(std::move(first));
  if (count > 2) {
    out.push_back(frame_at(request, kind, count / 2));
    out.back().frame = "middle";
  }
  if (count > 1) {
    last.frame = "last";
    out.push_back(std::move(last));
  }
  return out;
}

SavedResults measure_frames(const CompareRequest& request,
                            ResultKind kind,
                            const std::vector<Requirement>& requirements,
                            const PictureSimilarity& clip) {
  SavedResults out{.report = files_report(request, Json::object()), .run = {}, .pictures = {}};
  FramePairs pairs(request, kind);
  FrameComparison comparison(clip);
  ComparedPicture first;
  ComparedPicture pair;
  std::size_t count = 0;
  while (pairs.next(pair)) {
    if (count == 0) require_window(request, pair.reference, requirements);
    if (count == 0) first = pair;
    comparison.add(pair.reference, pair.candidate);
    out.run.reference.frames.push_back(statistics_of(pair.reference));
    out.run.candidate.frames.push_back(statistics_of(pair.candidate));
    ++count;
  }
  if (count == 0) {
    throw Error(ErrorCode::bad_picture, "there are no frames", {.path = request.reference_file});
  }
  out.run.measured.output = comparison.finish();
  out.run.reference_file = request.reference_file;
  out.run.candidate_file = request.candidate_file;
  out.pictures = shown_frames(request, kind, count, std::move(first), std::move(pair));
  return out;
}

}  // namespace

SavedResults measure_files(const CompareRequest& request,
                           ResultKind kind,
                           const std::vector<Requirement>& requirements,
                           const PictureSimilarity& clip) {
  if (kind == ResultKind::trajectory) return measure_trajectories(request);
  return measure_frames(request, kind, requirements, clip);
}

}  // namespace ditq
