#include "base/progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"

namespace ditq {
namespace {

constexpr int kWidth = 24;
bool line_is_open = false;

std::string clock_text(double seconds) {
  const auto total = static_cast<long>(std::min(seconds, 359999.0));
  if (total >= 3600)
    return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
  return fmt::format("{:02}:{:02}", total / 60, total % 60);
}

std::string bar_text(double fraction) {
  const auto filled = static_cast<int>(fraction * kWidth);
  std::string out;
  for (int i = 0; i < kWidth; ++i) out += i < filled ? "█" : "·";
  return out;
}

}  // namespace

ProgressBar::ProgressBar(std::string label, std::uint64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      start_(Clock::now()),
      visible_(log_settings().progress && !log_settings().quiet) {
  draw();
}

ProgressBar::~ProgressBar() {
  clear_line();
}

void ProgressBar::advance(std::uint64_t count) {
  done_ += count;
  if (Clock::now() - drawn_ >= std::chrono::milliseconds(100)) draw();
}

void ProgressBar::finish() {
  if (!visible_) return;
  done_ = std::max(done_, total_);
  draw();
  std::fputc('\n', stderr);
  line_is_open = false;
  visible_ = false;
}

void ProgressBar::clear_line() {
  if (!std::exchange(line_is_open, false)) return;
  std::fputs("\r\033[K", stderr);
}

void ProgressBar::draw() {
  if (!visible_) return;
  drawn_ = Clock::now();
  const double elapsed = std::chrono::duration<double>(drawn_ - start_).count();
  const double fraction =
      total_ == 0 ? 1.0 : std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const double rate = elapsed > 0 ? static_cast<double>(done_) / elapsed : 0;
  const bool is_bytes = unit_ == "B";
  const auto amount = [&](std::uint64_t value) {
    return is_bytes ? human_bytes(value) : std::to_string(value);
  };
  const std::string rate_text = is_bytes ? human_bytes(static_cast<std::uint64_t>(rate)) + "/s"
                                         : fmt::format("{:.3g} {}/s", rate, unit_);
  const std::string left =
      done_ == 0 ? "?" : clock_text(elapsed * (1 / std::max(fraction, 1e-9) - 1));
  const std::string line = fmt::format("\r\033[K{} {:3.0f}% {} {}/{} [{}<{}, {}]", label_,
                                       fraction * 100, bar_text(fraction), amount(done_),
                                       amount(total_), clock_text(elapsed), left, rate_text);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  line_is_open = true;
}

}  // namespace ditq
