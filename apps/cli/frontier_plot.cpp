#include "frontier_plot.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace ditq {
namespace {

constexpr double kWidth = 860, kHeight = 520;
constexpr double kLeft = 90, kRight = 30, kTop = 50, kBottom = 70;
constexpr double kMega = 1e6;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

bool is_drawable(const PlotPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y) && std::isfinite(point.spread);
}

/// 1, 2 or 5 times a power of ten, so that some five steps span `span`.
double tick_width(double span) {
  const double rough = span / 5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (rough <= step * power) return step * power;
  }
  return 10 * power;
}

class Canvas {
 public:
  explicit Canvas(const FrontierPlot& plot) : plot_(plot) {
    for (const auto* points : {&plot.line, &plot.marks}) {
      for (const PlotPoint& point : *points) {
        if (!is_drawable(point)) continue;
        most_x_ = std::max(most_x_, point.x);
        most_y_ = std::max(most_y_, point.y + point.spread);
      }
    }
    most_y_ = std::max(most_y_, plot.bar);
    most_x_ = most_x_ > 0 ? most_x_ * 1.12 : 1;  // room for labels
    most_y_ = most_y_ > 0 ? most_y_ * 1.08 : 1;
  }

  std::string draw() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        kWidth, kHeight);
    text(kWidth / 2, 28, plot_.title, "middle", "#111");
    axes();
    bar();
    line();
    for (const PlotPoint& mark : plot_.marks) {
      if (is_drawable(mark)) point(mark, "#b3361e", 5);
    }
    return out_ + "</svg>\n";
  }

 private:
  double x(double value) const { return kLeft + value / most_x_ * (kWidth - kLeft - kRight); }
  double y(double value) const {
    return kHeight - kBottom - value / most_y_ * (kHeight - kTop - kBottom);
  }

  void text(
      double at_x, double at_y, const std::string& words, const char* anchor, const char* fill) {
    out_ +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n",
                    at_x, at_y, anchor, fill, escaped(words));
  }

  void segment(double x1, double y1, double x2, double y2, const char* style) {
    out_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1,
                        y1, x2, y2, style);
  }

  void axes() {
    constexpr const char* kGrid = "stroke=\"#ddd\"";
    const double step_x = tick_width(most_x_);
    for (double tick = 0; tick <= most_x_; tick += step_x) {
      segment(x(tick), y(0), x(tick), kTop, kGrid);
      text(x(tick), y(0) + 20, fmt::format("{:g}", tick / kMega), "middle", "#444");
    }
    const double step_y = tick_width(most_y_);
    for (double tick = 0; tick <= most_y_; tick += step_y) {
      segment(kLeft, y(tick), kWidth - kRight, y(tick), kGrid);
      text(kLeft - 8, y(tick) + 4, fmt::format("{:g}", tick), "end", "#444");
    }
    text((kLeft + kWidth - kRight) / 2, kHeight - 20, plot_.x_title, "middle", "#111");
    out_ += fmt::format(
        "<text transform=\"translate(24 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
        kHeight / 2, escaped(plot_.y_title));
  }

  void bar() {
    if (plot_.bar <= 0) return;
    segment(kLeft, y(plot_.bar), kWidth - kRight, y(plot_.bar),
            "stroke=\"#888\" stroke-dasharray=\"6 4\"");
    text(kWidth - kRight, y(plot_.bar) - 6, fmt::format("bar {:g}", plot_.bar), "end", "#666");
  }

  void line() {
    std::string path;
    for (const PlotPoint& step : plot_.line) {
      if (!is_drawable(step)) continue;
      path += fmt::format("{}{:.1f} {:.1f} ", path.empty() ? "M" : "L", x(step.x), y(step.y));
    }
    out_ +=
        fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"#1f6f8b\" stroke-width=\"2\"/>\n", path);
    for (const PlotPoint& step : plot_.line) {
      if (is_drawable(step)) point(step, "#1f6f8b", 3);
    }
  }

  void point(const PlotPoint& at, const char* fill, double radius) {
    if (at.spread > 0) {
      segment(x(at.x), y(at.y - std::min(at.spread, at.y)), x(at.x), y(at.y + at.spread),
              fmt::format("stroke=\"{}\" stroke-opacity=\"0.5\"", fill).c_str());
    }
    out_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"/>\n", x(at.x),
                        y(at.y), radius, fill);
    if (!at.label.empty()) text(x(at.x) + 9, y(at.y) - 7, at.label, "start", fill);
  }

  const FrontierPlot& plot_;
  double most_x_ = 0;
  double most_y_ = 0;
  std::string out_;
};

}  // namespace

std::string draw(const FrontierPlot& plot) {
  return Canvas(plot).draw();
}

}  // namespace ditq
