#pragma once
// A plot of error against bytes as one self-contained SVG file.

#include <string>
#include <vector>

namespace ditq {

/// A point of a plot.
struct PlotPoint {
  std::string label;  ///< drawn beside it; empty: none
  double x = 0;       ///< bytes
  double y = 0;       ///< error
  double spread = 0;  ///< half the height of its bar
};

/// What is drawn: `line` is joined, `marks` stand alone with their labels, `bar` is a dashed line across.
struct FrontierPlot {
  std::string title;
  std::string x_title;
  std::string y_title;
  std::vector<PlotPoint> line;
  std::vector<PlotPoint> marks;
  double bar = 0;
};

/// The SVG document: no scripts, no fonts or pictures from elsewhere. Points that are no finite numbers are left out.
std::string draw(const FrontierPlot& plot);

}  // namespace ditq
