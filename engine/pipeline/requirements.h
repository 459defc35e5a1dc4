#pragma once
// The bars of `ditq compare --require 'cosine>=0.99,psnr>=28'`.

#include <string>
#include <vector>

#include "pipeline/measurements.h"

namespace ditq {

/// What a pair of inputs can be measured for.
struct Measurable {
  bool trajectory =
      false;            ///< cosine, mae, mse, rmse, max_abs, l2, relative_l2, and last.X of each
  bool frames = false;  ///< psnr, ssim, pixel_mae
  bool noise = false;   ///< noise_l2
  bool clip = false;    ///< clip
};

/// Which of all values is held against a bar.
enum class BarValue {
  worst,  ///< of all runs, and in them of all steps or frames
  last,   ///< the worst run's last step
  mean,   ///< over runs, of each run's worst step or frame
};

/// One bar: metric, operator, number.
struct Requirement {
  std::string metric;  ///< "cosine", "psnr", …
  BarValue value = BarValue::worst;
  std::string op;  ///< ">=", "<=", ">", "<"
  double bar = 0;

  /// "last.cosine".
  std::string name() const;
};

/// Whether a bar holds, and a sentence: "cosine: worst step 3 has 0.912, required >= 0.99".
struct Verdict {
  bool holds = false;
  double value = 0;  ///< what was held against the bar
  std::string sentence;
};

/// Parses a comma-separated list; empty text is an empty list.
/// Errors: usage (syntax, unknown metric, a metric that the inputs do not give).
std::vector<Requirement> parse_requirements(const std::string& text, Measurable inputs);

/// Whether one of them asks for `metric`.
bool asks_for(const std::vector<Requirement>& requirements, const std::string& metric);

/// Holds the measured value against the bar. The worst is the smallest of cosine, psnr, ssim and clip and the largest of
/// the others, whatever the operator; a NaN is worse than any number and satisfies no bar. The metric must have been
/// measured.
Verdict check(const Requirement& requirement, const Measurements& measured);

/// The sentence of a bar that was missed, with by how much: "…, required >= 0.99 (missed by 0.078)".
std::string missed_sentence(const Requirement& requirement, const Verdict& verdict);

}  // namespace ditq
