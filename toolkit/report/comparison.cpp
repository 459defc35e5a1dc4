#include "report/comparison.h"

#include <cmath>

namespace ditq {
namespace {

StepView read_step(const Node& step) {
  return {.cosine = step["cosine_similarity"].number(),
          .mae = step["mae"].number(),
          .rmse = step["rmse"].number(),
          .relative_l2 = step["relative_l2"].number()};
}

FrameView read_frame(const Node& frame) {
  return {.psnr_db = frame["psnr_db"].number(),
          .ssim = frame["ssim"].number(),
          .mae = frame["mae"].number(),
          .clip = frame["clip_similarity"].number()};
}

/// Every frame; of documents without them the first, which is the picture.
std::vector<FrameView> read_frames(const Node& output) {
  std::vector<FrameView> out;
  for (const Node& frame : output["frames"].items()) out.push_back(read_frame(frame));
  if (out.empty() && !output["frame0_metrics"].empty()) {
    out.push_back(read_frame(output["frame0_metrics"]));
  }
  return out;
}

std::vector<std::string> read_findings(const Node& findings) {
  std::vector<std::string> out;
  for (const Node& finding : findings.items()) {
    const std::string message = finding["message"].text();
    out.push_back(message.empty() ? finding["kind"].text() : message);
  }
  return out;
}

RunView read_run(const Node& run, std::int64_t index) {
  const Node output = run["output_metrics"];
  const Node seed = run["seed"];
  RunView out{.index = index, .prompt = run["prompt"].text()};
  if (const auto given = run["index"].number()) out.index = static_cast<std::int64_t>(*given);
  if (!seed.empty()) out.seed = dump_json(seed.json());
  for (const Node& step : run["trajectory_metrics"]["per_step_metrics"].items()) {
    out.steps.push_back(read_step(step));
  }
  out.frames = read_frames(output);
  out.middle_frame = static_cast<std::size_t>(output["mid_frame_index"].number().value_or(0));
  out.reference_findings = read_findings(run["picture_findings"]["reference"]);
  out.candidate_findings = read_findings(run["picture_findings"]["candidate"]);
  out.reference_file = run["output_files"]["reference"].text();
  out.candidate_file = run["output_files"]["candidate"].text();
  return out;
}

}  // namespace

bool is_worse(std::optional<double> a, std::optional<double> b, Better better) {
  if (!a || !b) return a && !b;
  if (std::isnan(*a) || std::isnan(*b)) return std::isnan(*a) && !std::isnan(*b);
  return better == Better::high ? *a < *b : *a > *b;
}

Worst worst_of(const std::vector<std::optional<double>>& values, Better better) {
  Worst out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_worse(values[i], out.value, better)) out = {.value = values[i], .at = i};
  }
  return out;
}

FrameView RunView::worst_frame() const {
  FrameView out;
  const auto take = [](std::optional<double>& worst, std::optional<double> value, Better better) {
    if (is_worse(value, worst, better)) worst = value;
  };
  for (const FrameView& frame : frames) {
    take(out.psnr_db, frame.psnr_db, Better::high);
    take(out.ssim, frame.ssim, Better::high);
    take(out.mae, frame.mae, Better::low);
    take(out.clip, frame.clip, Better::high);
  }
  return out;
}

std::vector<RunView> read_runs(const Node& comparison) {
  std::vector<RunView> out;
  for (const Node& run : comparison["runs"].items()) {
    out.push_back(read_run(run, static_cast<std::int64_t>(out.size())));
  }
  if (out.empty() && !comparison.empty()) out.push_back(read_run(comparison, 0));
  return out;
}

}  // namespace ditq
