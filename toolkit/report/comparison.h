#pragma once
// What a comparison's document says, run by run. Documents of one run, which have no `runs`, are read as well.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/node.h"

namespace ditq {

/// Distances of the latents after one step.
struct StepView {
  std::optional<double> cosine;
  std::optional<double> mae;
  std::optional<double> rmse;
  std::optional<double> relative_l2;
};

/// Distances of one picture, or one frame of a video.
struct FrameView {
  std::optional<double> psnr_db;
  std::optional<double> ssim;
  std::optional<double> mae;  ///< of 8-bit values
  std::optional<double> clip;
};

/// One prompt with one seed.
struct RunView {
  std::int64_t index = 0;
  std::string prompt;
  std::string seed;
  std::vector<StepView> steps;
  std::vector<FrameView> frames;
  std::size_t middle_frame = 0;
  std::vector<std::string> reference_findings;  ///< sentences about defects
  std::vector<std::string> candidate_findings;
  std::string reference_file;  ///< saved picture, or empty
  std::string candidate_file;

  /// The run's worst frame, figure by figure.
  FrameView worst_frame() const;
};

/// The runs of `ditq compare --output-json`. Errors: json_type.
std::vector<RunView> read_runs(const Node& comparison);

/// A figure's worst value over several, and where it was.
struct Worst {
  std::optional<double> value;
  std::size_t at = 0;
};

/// Which values are bad.
enum class Better { high, low };

/// Whether `a` is worse than `b`: NaN is the worst, an absent value the best.
bool is_worse(std::optional<double> a, std::optional<double> b, Better better);

/// The first of the worst values; nothing where all are absent.
Worst worst_of(const std::vector<std::optional<double>>& values, Better better);

}  // namespace ditq
