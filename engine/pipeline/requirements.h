#pragma once
// The bars of `ditq compare --require 'cosine>=0.99,psnr>=28'`.

#include <string>
#include <vector>

#include "pipeline/measurements.h"

namespace ditq {

/// What a pair of inputs can be measured for.
struct Measurable {
  bool trajectory = false;  ///< cosine, mae, mse, rmse, max_abs, l2, and last.X of each
  bool frames = false;      ///< psnr, ssim
  bool noise = false;       ///< noise_l2
  bool several = false;     ///< of several prompts, of which only noise_l2 is one figure
};

/// One bar: metric, operator, number.
struct Requirement {
  std::string metric;  ///< "cosine", "psnr", …
  bool last = false;   ///< the last step instead of the worst one
  std::string op;      ///< ">=", "<=", ">", "<"
  double bar = 0;

  /// "last.cosine".
  std::string name() const { return (last ? "last." : "") + metric; }
};

/// Whether a bar holds, and a sentence: "cosine: worst step 3 has 0.912, required >= 0.99".
struct Verdict {
  bool holds = false;
  std::string sentence;
};

/// Parses a comma-separated list; empty text is an empty list.
/// Errors: usage (syntax, unknown metric, a metric that the inputs do not give).
std::vector<Requirement> parse_requirements(const std::string& text, Measurable inputs);

/// Whether one of them asks for `metric`.
bool asks_for(const std::vector<Requirement>& requirements, const std::string& metric);

/// Holds the worst step's, the last step's or the worst frame's value against the bar. The worst is
/// the smallest of cosine, psnr and ssim and the largest of the others, whatever the operator; a
/// NaN is worse than any number and satisfies no bar.
Verdict check(const Requirement& requirement, const Measurements& measured);

}  // namespace ditq
