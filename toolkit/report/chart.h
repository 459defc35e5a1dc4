#pragma once
// A figure over the denoising steps as an inline SVG: a line, or a median with the band between the least and the most.

#include <optional>
#include <string>
#include <vector>

namespace ditq {

/// One chart. The three lines have one value a step; NaN leaves a gap.
struct StepChart {
  std::string title;           ///< HTML above the chart
  std::string summary;         ///< plain text for who cannot see it
  std::vector<double> low;     ///< least of the runs
  std::vector<double> middle;  ///< median
  std::vector<double> high;    ///< most
  std::size_t runs = 1;        ///< with one there is no band
  bool logarithmic = false;    ///< values at or below `floor` are drawn there
  double floor = 1e-7;
  std::optional<double> bar = {};  ///< a required value, drawn where it fits
  std::string bar_name = "bar";
};

/// <figure class="chart">…</figure>.
std::string draw_chart(const StepChart& chart);

}  // namespace ditq
