#include "pipeline/requirements.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

/// A metric of every step; frames have other ones.
struct StepMetric {
  std::string_view name;
  double TensorMetrics::*value;
  bool larger_is_better;
};

constexpr std::array<StepMetric, 6> kStepMetrics{{
    {"cosine", &TensorMetrics::cosine_similarity, true},
    {"mae", &TensorMetrics::mae, false},
    {"rmse", &TensorMetrics::rmse, false},
    {"mse", &TensorMetrics::mse, false},
    {"max_abs", &TensorMetrics::max_abs, false},
    {"l2", &TensorMetrics::l2, false},
}};

constexpr const char* kKnown =
    "cosine, mae, rmse, mse, max_abs, l2 (each also as last.cosine …), psnr, ssim or noise_l2";

const StepMetric* find_step_metric(std::string_view name) {
  const auto* found = std::find_if(kStepMetrics.begin(), kStepMetrics.end(),
                                   [&](const StepMetric& metric) { return metric.name == name; });
  return found == kStepMetrics.end() ? nullptr : found;
}

bool is_frame_metric(std::string_view name) {
  return name == "psnr" || name == "ssim";
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

[[noreturn]] void refuse(const std::string& sentence,
                         std::string_view found,
                         const std::string& expected) {
  throw Error(ErrorCode::usage, "--require: " + sentence,
              {.expected = expected, .found = fmt::format("'{}'", found)});
}

double parse_bar(std::string_view number, std::string_view bar) {
  double value = 0;
  if (number.starts_with('+') && !number.starts_with("+-")) number.remove_prefix(1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (number.empty() || error != std::errc() || end != number.data() + number.size() ||
      !std::isfinite(value)) {
    refuse("a bar is 'metric op number'", bar, "a finite number, as in cosine>=0.99");
  }
  return value;
}

Requirement parse_one(std::string_view bar) {
  const std::size_t at = bar.find_first_of("<>");
  if (at == std::string_view::npos) {
    refuse("a bar is 'metric op number'", bar, "one of >= <= > <, as in cosine>=0.99");
  }
  const std::size_t length = at + 1 < bar.size() && bar[at + 1] == '=' ? 2 : 1;
  Requirement out{.metric = std::string(trimmed(bar.substr(0, at))),
                  .op = std::string(bar.substr(at, length)),
                  .bar = parse_bar(trimmed(bar.substr(at + length)), bar)};
  constexpr std::string_view kLast = "last.";
  if (out.metric.starts_with(kLast)) {
    out.metric.erase(0, kLast.size());
    out.last = true;
  }
  return out;
}

void require_known(const Requirement& requirement, Measurable inputs) {
  const std::string name = requirement.name();
  if (name == "noise_l2") {
    if (inputs.noise) return;
    refuse("saved results do not tell what a transformer predicts", name,
           "noise_l2 of two checkpoints, with --model-path");
  }
  if (inputs.several) refuse("of several prompts, noise_l2 is the one figure", name, "noise_l2");
  const bool of_steps = find_step_metric(requirement.metric) != nullptr;
  const bool of_frames = is_frame_metric(requirement.metric) && !requirement.last;
  if (!of_steps && !of_frames) refuse("unknown metric", name, kKnown);
  if (of_steps && !inputs.trajectory) {
    refuse("pictures have no steps to measure", name, "psnr or ssim");
  }
  if (of_frames && !inputs.frames) {
    refuse("trajectory files hold no pictures to measure", name,
           "cosine, mae, rmse, mse, max_abs or l2");
  }
}

/// A value and where it was found.
struct Found {
  std::size_t index = 0;
  double value = 0;
};

/// The first NaN, else the first of the worst values.
Found worst(const std::vector<double>& values, bool larger_is_better) {
  DITQ_ASSERT(!values.empty());
  Found out{0, values.front()};
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) return {i, values[i]};
    if (larger_is_better ? values[i] < out.value : values[i] > out.value) out = {i, values[i]};
  }
  return out;
}

std::vector<double> values_of(const Requirement& requirement, const Measurements& measured) {
  if (requirement.metric == "ssim") return measured.ssim;
  std::vector<double> out;
  if (requirement.metric == "psnr") {
    for (const FrameMetrics& frame : measured.output->frames) out.push_back(frame.psnr_db);
    return out;
  }
  const StepMetric* metric = find_step_metric(requirement.metric);
  DITQ_ASSERT(metric != nullptr);
  for (const StepMetrics& step : measured.trajectory->steps) out.push_back(step.*(metric->value));
  return out;
}

bool holds(double value, const std::string& op, double bar) {
  if (op == ">=") return value >= bar;
  if (op == "<=") return value <= bar;
  if (op == ">") return value > bar;
  DITQ_ASSERT(op == "<");
  return value < bar;
}

}  // namespace

std::vector<Requirement> parse_requirements(const std::string& text, Measurable inputs) {
  std::vector<Requirement> out;
  if (trimmed(text).empty()) return out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    out.push_back(parse_one(trimmed(std::string_view(text).substr(at, end - at))));
    require_known(out.back(), inputs);
    at = end + 1;
  }
  return out;
}

bool asks_for(const std::vector<Requirement>& requirements, const std::string& metric) {
  return std::any_of(requirements.begin(), requirements.end(),
                     [&](const Requirement& one) { return one.metric == metric; });
}

Verdict check(const Requirement& requirement, const Measurements& measured) {
  if (requirement.metric == "noise_l2") {
    const double value = measured.noise->noise_l2();
    return {
        .holds = holds(value, requirement.op, requirement.bar),
        .sentence = fmt::format("noise_l2: {} prompts and {} steps have {:.9g}, required {} {:.9g}",
                                measured.noise->l2.size(), measured.noise->l2.front().size(), value,
                                requirement.op, requirement.bar)};
  }
  const std::vector<double> values = values_of(requirement, measured);
  const StepMetric* metric = find_step_metric(requirement.metric);
  const bool larger_is_better = metric == nullptr || metric->larger_is_better;
  const Found found =
      requirement.last ? Found{values.size() - 1, values.back()} : worst(values, larger_is_better);
  const char* place = requirement.last ? "step" : metric == nullptr ? "worst frame" : "worst step";
  // Nine digits tell any two f32 values apart.
  return {
      .holds = holds(found.value, requirement.op, requirement.bar),
      .sentence = fmt::format("{}: {} {} has {:.9g}, required {} {:.9g}", requirement.name(), place,
                              found.index, found.value, requirement.op, requirement.bar)};
}

}  // namespace ditq
