#include "pipeline/result_health.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

constexpr std::size_t kChannels = 3;

/// Limits of the defects; `near` is where a reference counts as having the same one.
struct Limit {
  double limit;
  double near;
};

/// Rounding and the decoder's texture stay below two levels on a flat picture; a dot of a thousandth of the picture and
/// 200 levels of contrast gives six.
constexpr Limit kConstant{2, 4};
/// Drawings in pure black and white reach it too, but then the reference is one as well.
constexpr Limit kSaturated{0.98, 0.7};
/// Of independent pixels in a picture of 32 x 32 the correlation is within 0.1 in 998 of 1000 cases; pictures of things
/// have more than 0.5.
constexpr Limit kNoise{0.1, 0.3};
constexpr std::int64_t kLeastSideForNoise = 32;

bool is_constant(const PictureStatistics& frame, double limit) {
  return frame.deviation < limit;
}
bool is_saturated(const PictureStatistics& frame, double limit) {
  return frame.clipped >= limit;
}
bool is_noise(const PictureStatistics& frame, double limit) {
  return frame.has_correlation && frame.correlation < limit && !is_constant(frame, kConstant.limit);
}

/// Brightness as the sum of a pixel's channels.
double brightness(const std::uint8_t* pixel) {
  return pixel[0] + pixel[1] + pixel[2];
}

/// Pearson's correlation of pairs.
struct Correlation {
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;

  void add(double a, double b) {
    n += 1;
    x += a;
    y += b;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  /// NaN where one side does not vary.
  double value() const { return (n * xy - x * y) / std::sqrt((n * xx - x * x) * (n * yy - y * y)); }
};

void add_correlation(const Picture& picture, PictureStatistics& out) {
  if (std::min(picture.width, picture.height) < kLeastSideForNoise) return;
  Correlation across;
  Correlation down;
  const auto at = [&](std::int64_t row, std::int64_t column) {
    return brightness(picture.pixels.data() + (row * picture.width + column) * 3);
  };
  for (std::int64_t row = 0; row < picture.height; ++row) {
    for (std::int64_t column = 0; column < picture.width; ++column) {
      if (column + 1 < picture.width) across.add(at(row, column), at(row, column + 1));
      if (row + 1 < picture.height) down.add(at(row, column), at(row + 1, column));
    }
  }
  out.correlation = std::max(std::fabs(across.value()), std::fabs(down.value()));
  out.has_correlation = std::isfinite(across.value()) && std::isfinite(down.value());
}

std::string place(const char* what, std::size_t index) {
  return fmt::format("{} {}", what, index);
}

/// A defect of a frame: whether it has it, and how it reads.
struct FrameRule {
  const char* kind;
  Limit limit;
  bool (*holds)(const PictureStatistics&, double);
  std::string (*text)(const PictureStatistics&);
};

bool is_blank(const PictureStatistics& frame, double limit) {
  // What comes near a picture of one colour is an almost constant one.
  return limit == 0 ? !frame.colour.empty() : is_constant(frame, limit);
}

const std::array<FrameRule, 4> kFrameRules{{
    {"blank",
     {0, kConstant.near},
     is_blank,
     [](const PictureStatistics& frame) {
       return fmt::format("is blank: every pixel is {}", frame.colour);
     }},
    {"constant", kConstant,
     [](const PictureStatistics& frame, double limit) {
       return frame.colour.empty() && is_constant(frame, limit);
     },
     [](const PictureStatistics& frame) {
       return fmt::format("is almost constant: no channel deviates by more than {:.3g} levels",
                          frame.deviation);
     }},
    {"saturated", kSaturated, is_saturated,
     [](const PictureStatistics& frame) {
       return fmt::format("is saturated: {:.4g} % of its values are 0 or 255", 100 * frame.clipped);
     }},
    {"noise", kNoise, is_noise,
     [](const PictureStatistics& frame) {
       return fmt::format("is noise: neighbouring pixels correlate by {:.2g} only",
                          frame.correlation);
     }},
}};

/// Whether the reference's frame has a defect, or nearly.
bool shares(const FrameRule& rule, const PictureStatistics& reference) {
  if (rule.kind == std::string_view("constant")) return is_constant(reference, rule.limit.near);
  return rule.holds(reference, rule.limit.near);
}

std::string non_finite_text(std::int64_t count, std::int64_t of) {
  return fmt::format("{} of {} values are NaN or infinite", count, of);
}

/// Defects of one side; where `reference` is given, only those that it does not share.
std::vector<Finding> collect(const ResultHealth& health, const ResultHealth* reference) {
  std::vector<Finding> out;
  for (std::size_t i = 0; i < health.frames.size(); ++i) {
    for (const FrameRule& rule : kFrameRules) {
      if (!rule.holds(health.frames[i], rule.limit.limit)) continue;
      if (reference != nullptr && shares(rule, reference->frames[i])) continue;
      out.push_back({rule.kind, i, {}, place("frame", i) + " " + rule.text(health.frames[i])});
    }
  }
  if (health.non_finite_pixels > 0 && (reference == nullptr || reference->non_finite_pixels == 0)) {
    out.push_back({"non_finite",
                   0,
                   {},
                   "the decoder gave no picture: " +
                       non_finite_text(health.non_finite_pixels, health.decoded_values)});
  }
  return out;
}

/// The first step that a rule speaks of: those behind it inherit its state.
void add_latents(const ResultHealth& health,
                 const char* kind,
                 const std::function<bool(const LatentStatistics&)>& has,
                 const std::function<std::string(const LatentStatistics&)>& text,
                 std::vector<Finding>& out) {
  const auto found = std::find_if(health.steps.begin(), health.steps.end(), has);
  if (found == health.steps.end()) return;
  const auto step = static_cast<std::size_t>(found - health.steps.begin());
  out.push_back({kind, {}, step, fmt::format("the latents after step {} {}", step, text(*found))});
}

std::vector<Finding> latent_findings(const ResultHealth& health) {
  std::vector<Finding> out;
  add_latents(
      health, "non_finite", [](const LatentStatistics& step) { return step.non_finite > 0; },
      [](const LatentStatistics& step) {
        return "are no numbers: " + non_finite_text(step.non_finite, step.values);
      },
      out);
  add_latents(
      health, "blank", [](const LatentStatistics& step) { return step.uniform; },
      [](const LatentStatistics&) { return std::string("are blank: all values are one"); }, out);
  return out;
}

}  // namespace

PictureStatistics statistics_of(const Picture& picture) {
  PictureStatistics out;
  std::array<std::uint64_t, kChannels> sums{};
  std::array<std::uint64_t, kChannels> squares{};
  std::uint64_t clipped = 0;
  bool one_colour = true;
  const std::vector<std::uint8_t>& pixels = picture.pixels;
  DITQ_ASSERT(pixels.size() >= kChannels && pixels.size() % kChannels == 0);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::uint64_t value = pixels[i];
    sums[i % kChannels] += value;
    squares[i % kChannels] += value * value;
    clipped += value == 0 || value == 255 ? 1 : 0;
    one_colour = one_colour && pixels[i] == pixels[i % kChannels];
  }
  const double count = static_cast<double>(pixels.size() / kChannels);
  for (std::size_t c = 0; c < kChannels; ++c) {
    const double mean = static_cast<double>(sums[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - mean * mean;
    out.deviation = std::max(out.deviation, std::sqrt(std::max(variance, 0.0)));
  }
  out.clipped = static_cast<double>(clipped) / static_cast<double>(pixels.size());
  if (one_colour) out.colour = fmt::format("#{:02x}{:02x}{:02x}", pixels[0], pixels[1], pixels[2]);
  add_correlation(picture, out);
  return out;
}

std::vector<Finding> findings_of(const ResultHealth& health) {
  std::vector<Finding> out = collect(health, nullptr);
  for (Finding& finding : latent_findings(health)) out.push_back(std::move(finding));
  return out;
}

std::vector<Finding> new_findings(const ResultHealth& reference, const ResultHealth& candidate) {
  DITQ_ASSERT(reference.frames.size() == candidate.frames.size());
  std::vector<Finding> out = collect(candidate, &reference);
  const std::vector<Finding> known = latent_findings(reference);
  for (Finding& finding : latent_findings(candidate)) {
    const bool shared = std::any_of(known.begin(), known.end(), [&](const Finding& other) {
      return other.kind == finding.kind;
    });
    if (!shared) out.push_back(std::move(finding));
  }
  return out;
}

Json to_json(const std::vector<Finding>& findings) {
  Json out = Json::array();
  for (const Finding& finding : findings) {
    out.push_back({{"kind", finding.kind},
                   {"frame", finding.frame ? Json(*finding.frame) : Json(nullptr)},
                   {"step", finding.step ? Json(*finding.step) : Json(nullptr)},
                   {"message", finding.message}});
  }
  return out;
}

}  // namespace ditq
