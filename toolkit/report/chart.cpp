#include "report/chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/html.h"
#include "report/numbers.h"

namespace ditq {
namespace {

constexpr double kWidth = 440, kHeight = 236;
constexpr double kLeft = 56, kRight = 14, kTop = 14, kBottom = 40;

/// 1, 2 or 5 times a power of ten, so that at most `most` steps span `span`.
double tick_width(double span, double most) {
  const double rough = span / most;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (rough <= step * power * (1 + 1e-9)) return step * power;
  }
  return 10 * power;
}

/// Draws one chart: values to places, then grid, band, line and points.
class Drawing {
 public:
  explicit Drawing(const StepChart& chart) : chart_(chart), steps_(chart.middle.size()) {
    double least = INFINITY;
    double most = 0;
    for (const auto* line : {&chart.low, &chart.middle, &chart.high}) {
      for (const double value : *line) {
        if (!std::isfinite(value)) continue;
        least = std::min(least, value);
        most = std::max(most, value);
      }
    }
    show_bar_ = chart.bar && steps_ > 0 && *chart.bar > 0 && std::isfinite(*chart.bar) &&
                (chart.logarithmic || *chart.bar <= 2.5 * most);
    if (show_bar_) {
      least = std::min(least, *chart.bar);
      most = std::max(most, *chart.bar);
    }
    chart.logarithmic ? set_decades(least, most) : set_linear(most);
  }

  std::string draw() {
    grid();
    step_ticks();
    if (show_bar_) {
      const double at = y(*chart_.bar);
      line(kLeft, at, kWidth - kRight, at, "bar");
      const bool left =
          distance_to(chart_.middle.front(), at) > distance_to(chart_.middle.back(), at);
      const double end = left ? chart_.middle.front() : chart_.middle.back();
      // On the side of the bar where the line is not.
      const bool below = std::isfinite(end) && y(end) < at;
      text(left ? kLeft + 4 : kWidth - kRight, below ? at + 14 : at - 5, left ? "start" : "end",
           "bar-label", fmt::format("{} {:.6g}", chart_.bar_name, *chart_.bar));
    }
    if (chart_.runs > 1) band();
    curve(chart_.middle);
    points();
    return std::move(out_);
  }

 private:
  void set_linear(double most) {
    tick_ = tick_width(most > 0 ? most : 1, 4);
    bottom_ = 0;
    top_ = std::max(1.0, std::ceil(most / tick_ * (1 - 1e-9))) * tick_;
  }

  void set_decades(double least, double most) {
    bottom_ = std::floor(std::log10(std::max(std::isfinite(least) ? least : 1, chart_.floor)));
    top_ = std::ceil(std::log10(std::max(most, chart_.floor)));
    if (top_ <= bottom_) top_ = bottom_ + 1;
    tick_ = std::ceil((top_ - bottom_) / 5);
  }

  double x(std::size_t step) const {
    const double span = kWidth - kLeft - kRight;
    return steps_ < 2 ? kLeft + span / 2
                      : kLeft + static_cast<double>(step) / static_cast<double>(steps_ - 1) * span;
  }

  double y(double value) const {
    const double place =
        chart_.logarithmic ? std::log10(std::max(value, chart_.floor)) : std::max(value, 0.0);
    const double share = std::clamp((place - bottom_) / (top_ - bottom_), 0.0, 1.0);
    return kHeight - kBottom - share * (kHeight - kTop - kBottom);
  }

  /// How far a value is drawn from a height; without a value, far.
  double distance_to(double value, double at) const {
    return std::isfinite(value) ? std::fabs(y(value) - at) : kHeight;
  }

  void line(double x1, double y1, double x2, double y2, const char* style) {
    out_ +=
        fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                    style, x1, y1, x2, y2);
  }

  void text(
      double at_x, double at_y, const char* anchor, const char* style, const std::string& words) {
    out_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>",
                        style, at_x, at_y, anchor, escaped(words));
  }

  void grid() {
    const auto ticks = static_cast<int>(std::lround((top_ - bottom_) / tick_));
    for (int i = 0; i <= ticks; ++i) {
      const double place = bottom_ + i * tick_;
      const double value = chart_.logarithmic ? std::pow(10.0, place) : place;
      line(kLeft, y(value), kWidth - kRight, y(value), i == 0 ? "axis" : "grid");
      text(kLeft - 7, y(value) + 4, "end", "tick",
           chart_.logarithmic ? power_of_ten(static_cast<int>(std::lround(place)))
                              : fmt::format("{:.6g}", place));
    }
  }

  void step_ticks() {
    if (steps_ == 0) return;
    const auto width =
        static_cast<std::size_t>(std::max(1.0, tick_width(static_cast<double>(steps_), 6)));
    for (std::size_t step = 0; step < steps_; ++step) {
      const bool regular = (step + 1) % width == 0 && steps_ - 1 - step >= (width + 1) / 2;
      if (step == 0 || step + 1 == steps_ || regular) {
        text(x(step), kHeight - kBottom + 16, "middle", "tick", std::to_string(step + 1));
      }
    }
    text((kLeft + kWidth - kRight) / 2, kHeight - 6, "middle", "tick", "step");
  }

  /// One closed shape for each run of finite values.
  void band() {
    for (std::size_t begin = 0; begin < steps_;) {
      std::size_t end = begin;
      const auto is_there = [&](std::size_t i) {
        return std::isfinite(chart_.low[i]) && std::isfinite(chart_.high[i]);
      };
      while (end < steps_ && is_there(end)) ++end;
      std::string path;
      for (std::size_t i = begin; i < end; ++i) {
        path += fmt::format("{}{:.1f} {:.1f}", i == begin ? "M" : "L", x(i), y(chart_.high[i]));
      }
      for (std::size_t i = end; i > begin; --i) {
        path += fmt::format("L{:.1f} {:.1f}", x(i - 1), y(chart_.low[i - 1]));
      }
      if (end > begin) out_ += fmt::format("<path class=\"band\" d=\"{}Z\"/>", path);
      begin = end + 1;
    }
  }

  void curve(const std::vector<double>& values) {
    std::string path;
    bool pen_down = false;
    for (std::size_t i = 0; i < steps_; ++i) {
      if (std::isfinite(values[i])) {
        path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", x(i), y(values[i]));
      }
      pen_down = std::isfinite(values[i]);
    }
    if (!path.empty()) out_ += fmt::format("<path class=\"line\" d=\"{}\"/>", path);
  }

  /// Small marks that tell their numbers.
  void points() {
    for (std::size_t i = 0; i < steps_; ++i) {
      const bool there = std::isfinite(chart_.middle[i]);
      std::string words = fmt::format("step {}: {}", i + 1, significant(chart_.middle[i]));
      if (chart_.runs > 1) {
        words += fmt::format(" (median), {} to {}", significant(chart_.low[i]),
                             significant(chart_.high[i]));
      }
      out_ += fmt::format(
          "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}</title></circle>",
          there ? "point" : "point gap", x(i), there ? y(chart_.middle[i]) : kTop,
          steps_ > 40 ? 2 : 3, words);
    }
  }

  const StepChart& chart_;
  std::size_t steps_;
  double bottom_ = 0;
  double top_ = 1;
  double tick_ = 1;
  bool show_bar_ = false;
  std::string out_;
};

}  // namespace

std::string draw_chart(const StepChart& chart) {
  return fmt::format(
      "<figure class=\"chart\"><figcaption>{}</figcaption>\n"
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}</svg></figure>\n",
      chart.title, kWidth, kHeight, escaped(chart.summary), Drawing(chart).draw());
}

}  // namespace ditq
