#include "pipeline/requirements.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "pipeline/confidence.h"
#include "pipeline/run_metrics.h"

namespace ditq {
namespace {

constexpr std::array<std::pair<std::string_view, BarValue>, 2> kPrefixes{
    {{"last.", BarValue::last}, {"mean.", BarValue::mean}}};

constexpr const char* kKnown =
    "cosine, mae, rmse, mse, max_abs, l2, relative_l2 (each also as last.cosine …), psnr, ssim, "
    "pixel_mae, clip (all of them also as mean.cosine …) or noise_l2";

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
  for (const auto& [prefix, value] : kPrefixes) {
    if (!out.metric.starts_with(prefix)) continue;
    out.metric.erase(0, prefix.size());
    out.value = value;
    break;
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
  if (!inputs.trajectory && !inputs.frames) refuse("noise_l2 is the one figure", name, "noise_l2");
  const RunMetric* metric = find_run_metric(requirement.metric);
  if (metric == nullptr || (!metric->of_steps && requirement.value == BarValue::last)) {
    refuse("unknown metric", name, kKnown);
  }
  if (metric->of_steps && !inputs.trajectory) {
    refuse("pictures have no steps to measure", name, "psnr, ssim, pixel_mae or clip");
  }
  if (!metric->of_steps && !inputs.frames) {
    refuse("trajectory files hold no pictures to measure", name,
           "cosine, mae, rmse, mse, max_abs, l2 or relative_l2");
  }
  if (metric->name == "clip" && !inputs.clip) {
    refuse("clip needs an image encoder", name, "--clip-image-encoder DIR");
  }
}

bool holds(double value, const std::string& op, double bar) {
  if (op == ">=") return value >= bar;
  if (op == "<=") return value <= bar;
  if (op == ">") return value > bar;
  DITQ_ASSERT(op == "<");
  return value < bar;
}

/// Nine digits tell any two f32 values apart.
Verdict verdict(const Requirement& requirement, double value, const std::string& whose) {
  return {.holds = holds(value, requirement.op, requirement.bar),
          .value = value,
          .sentence = fmt::format("{}: {} {:.9g}, required {} {:.9g}", requirement.name(), whose,
                                  value, requirement.op, requirement.bar)};
}

Verdict check_noise(const Requirement& requirement, const NoiseError& noise) {
  return verdict(
      requirement, noise.noise_l2(),
      fmt::format("{} prompts and {} steps have", noise.l2.size(), noise.l2.front().size()));
}

Verdict check_mean(const Requirement& requirement,
                   const RunMetric& metric,
                   const std::vector<RunValue>& values) {
  return verdict(
      requirement, mean(numbers_of(values)),
      fmt::format("the worst {} of {} run{} has on average", metric.of_steps ? "step" : "frame",
                  values.size(), values.size() == 1 ? "" : "s"));
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

std::string Requirement::name() const {
  for (const auto& [prefix, of] : kPrefixes) {
    if (of == value) return std::string(prefix) + metric;
  }
  return metric;
}

Verdict check(const Requirement& requirement, const Measurements& measured) {
  if (requirement.metric == "noise_l2") return check_noise(requirement, *measured.noise);
  const RunMetric* metric = find_run_metric(requirement.metric);
  DITQ_ASSERT(metric != nullptr);
  const std::vector<RunValue> values =
      value_per_run(*metric, measured, requirement.value == BarValue::last);
  DITQ_ASSERT(!values.empty());
  if (requirement.value == BarValue::mean) return check_mean(requirement, *metric, values);
  const RunValue found = worst_of(values, metric->larger_is_better);
  const std::string run = measured.runs.size() > 1 ? fmt::format("run {}, ", found.run) : "";
  const char* place = requirement.value == BarValue::last ? "step"
                      : metric->of_steps                  ? "worst step"
                                                          : "worst frame";
  return verdict(requirement, found.value, fmt::format("{}{} {} has", run, place, found.at));
}

std::string missed_sentence(const Requirement& requirement, const Verdict& verdict) {
  return fmt::format("{} (missed by {:.3g})", verdict.sentence,
                     std::fabs(verdict.value - requirement.bar));
}

}  // namespace ditq
