// Pairs of pictures, worst first: a slider between the two and a map of their difference. Without the script, and in
// print, all pairs stand below each other.

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/picture_copies.h"
#include "report/sections.h"

namespace ditq {
namespace {

// What a page may hold, so that it opens at once and goes through a mail: the worst pair in up to 1 megapixel, the others
// sharing what is left, as many of them as then are large enough to see something.
constexpr std::int64_t kMostPixels = 1 << 20;
constexpr std::int64_t kSharedPixels = 6'000'000;
constexpr std::int64_t kLeastPixels = 1 << 16;
constexpr std::size_t kMostPairs = kSharedPixels / (3 * kLeastPixels);

/// A pair with its run's figures.
struct Shown {
  const ReportPair* pair = nullptr;
  const RunView* run = nullptr;
  FrameView frame;
  std::optional<Difference> difference;
};

const RunView* find_run(const ReportView& view, std::int64_t index) {
  for (const RunView& run : view.runs) {
    if (run.index == index) return &run;
  }
  return nullptr;
}

/// Figures of the frame that is shown.
FrameView frame_of(const RunView& run, const std::string& name) {
  if (run.frames.empty()) return {};
  if (name == "middle" && run.middle_frame < run.frames.size()) return run.frames[run.middle_frame];
  return name == "last" ? run.frames.back() : run.frames.front();
}

/// Worst first; equal ones in their order.
std::vector<Shown> sorted_pairs(const ReportView& view) {
  std::vector<Shown> out;
  for (const ReportPair& pair : *view.pairs) {
    Shown shown{.pair = &pair, .run = find_run(view, pair.run)};
    if (shown.run != nullptr) shown.frame = frame_of(*shown.run, pair.frame_name);
    out.push_back(std::move(shown));
  }
  std::stable_sort(out.begin(), out.end(), [](const Shown& a, const Shown& b) {
    return is_worse(a.frame.psnr_db, b.frame.psnr_db, Better::high);
  });
  return out;
}

/// One amplification for all maps, so that they can be compared: as much as shows the strongest one unclipped.
int common_gain(const std::vector<Shown>& pairs) {
  int strongest = 1;
  for (const Shown& shown : pairs) {
    if (shown.difference) strongest = std::max(strongest, shown.difference->usual_largest());
  }
  for (const int gain : {32, 16, 8, 4, 2}) {
    if (gain * strongest <= 255) return gain;
  }
  return 1;
}

std::string pair_name(const Shown& shown) {
  std::string out = fmt::format("Run {}", shown.pair->run);
  if (!shown.pair->frame_name.empty()) out += ", " + shown.pair->frame_name + " frame";
  return out;
}

std::string image(const std::string& style, const Picture& shown, const std::string& description) {
  return fmt::format("<img class=\"{}\" src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\">", style,
                     data_uri(shown), shown.width, shown.height, escaped(description));
}

std::string missing(const std::string& style, const std::string& sentence) {
  return fmt::format("<p class=\"{} missing\">{}</p>", style, sentence);
}

/// Reference and candidate; the script lays one over the other.
std::string both(const Shown& shown, CopySize size) {
  const auto one = [&](const char* style, const char* name, const Picture& picture) {
    const std::string caption = fmt::format("<figcaption>{}</figcaption>", name);
    const CopySize own =
        shown.difference ? size : copy_size(picture.width, picture.height, kLeastPixels * 4);
    const std::string content =
        picture.width < 1 ? missing("picture", "No picture.")
                          : image("picture", smaller(picture, own),
                                  fmt::format("{} of {}: {}", name, pair_name(shown),
                                              shown.run == nullptr ? "" : shown.run->prompt));
    return fmt::format("<figure class=\"{}\">{}{}</figure>", style, content, caption);
  };
  return fmt::format("<div class=\"pair{}\">{}{}</div>\n", shown.difference ? " same-size" : "",
                     one("reference", "Reference", shown.pair->reference),
                     one("candidate", "Candidate", shown.pair->candidate));
}

std::string map(const Shown& shown, CopySize size, int gain) {
  if (!shown.difference) {
    return "<p class=\"missing\">No difference map: the two pictures are not of one size.</p>\n";
  }
  const int largest = shown.difference->largest();
  const std::string words =
      largest == 0 ? "Difference: none, the pictures are equal"
                   : fmt::format("Difference × {}, the largest is {} of 255", gain, largest);
  return fmt::format("<figure class=\"difference\">{}<figcaption>{}</figcaption></figure>\n",
                     image("picture", difference_map(*shown.difference, size, gain),
                           fmt::format("Map of the difference of {}: {}", pair_name(shown), words)),
                     words);
}

std::string chip(const std::string& name, const std::string& value) {
  return value == "–" ? "" : fmt::format("<li><span>{}</span> {}</li>", name, value);
}

std::string warnings(const RunView& run) {
  std::string out;
  const auto add = [&](const char* side, const std::vector<std::string>& findings) {
    for (const std::string& finding : findings) {
      out += fmt::format("<p class=\"warning\"><b>{}:</b> {}</p>\n", side, foreign(finding));
    }
  };
  add("Candidate", run.candidate_findings);
  add("Reference", run.reference_findings);
  return out;
}

std::string card(const Shown& shown, std::int64_t pixels, int gain) {
  const CopySize size =
      copy_size(shown.pair->reference.width, shown.pair->reference.height, pixels);
  std::string words = fmt::format("<h3>{}</h3>\n", escaped(pair_name(shown)));
  std::string badge = decibel(shown.frame.psnr_db);
  if (shown.run != nullptr) {
    if (!shown.run->prompt.empty()) {
      words += "<p class=\"prompt\">" + foreign(shown.run->prompt) + "</p>\n";
    }
    words += "<ul class=\"chips\">" +
             chip("seed", escaped(shown.run->seed.empty() ? "–" : shown.run->seed)) +
             chip("PSNR", badge) + chip("SSIM", fixed(shown.frame.ssim, 4)) +
             chip("MAE", significant(shown.frame.mae)) + chip("CLIP", fixed(shown.frame.clip, 4)) +
             "</ul>\n" + warnings(*shown.run);
  }
  std::string note;
  if (shown.difference && size.width < shown.pair->reference.width) {
    note = fmt::format(
        "<p class=\"note\">Shown at {} × {}; the pictures have {} × {}. The difference is taken at "
        "full size: each pixel of the map is the largest that it covers.</p>\n",
        size.width, size.height, shown.pair->reference.width, shown.pair->reference.height);
  }
  return fmt::format(
      "<article class=\"run\" data-name=\"{}\" data-badge=\"{}\">\n{}<div class=\"views\">\n{}{}"
      "</div>\n{}</article>\n",
      escaped(pair_name(shown)), badge, words, both(shown, size), map(shown, size, gain), note);
}

std::string legend(int gain) {
  return fmt::format(
      "<p class=\"legend\">Difference map: <span class=\"scale\"><span>0</span><span "
      "class=\"ramp\" "
      "role=\"img\" aria-label=\"black over violet and orange to pale yellow\"></span>"
      "<span>{} of 255</span></span> largest channel, amplified × {}{}</p>\n",
      255 / gain, gain, gain == 1 ? "" : ", the same for all runs");
}

std::string lead_words(std::size_t all, std::size_t shown) {
  std::string out =
      "Both from the same prompt, seed and settings: only the checkpoint differs. <span "
      "class=\"with-script\">Drag the divider, or use the arrow keys: reference on its left, "
      "candidate on its right.</span>";
  if (all > 1) out += " Worst PSNR first.";
  if (shown < all) {
    out += fmt::format(
        " The {} worst of {} pairs are shown; the table below has the figures of all.", shown, all);
  }
  return "<p class=\"lead\">" + out + "</p>\n";
}

}  // namespace

std::string pictures_section(const ReportView& view) {
  std::vector<Shown> pairs = sorted_pairs(view);
  if (pairs.empty()) return "";
  const std::size_t all = pairs.size();
  pairs.resize(std::min(all, kMostPairs));
  for (Shown& shown : pairs) {
    shown.difference = difference(shown.pair->reference, shown.pair->candidate);
  }
  const int gain = common_gain(pairs);
  const std::int64_t share =
      kSharedPixels / (3 * static_cast<std::int64_t>(std::max<std::size_t>(1, pairs.size() - 1)));
  std::string cards;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    cards += card(pairs[i], i == 0 ? kMostPixels : std::min(share, kMostPixels), gain);
  }
  return section(
      "pictures", "Pictures",
      lead_words(all, pairs.size()) +
          "<div class=\"chooser\" role=\"group\" aria-label=\"Runs, worst first\"></div>\n"
          "<div class=\"runs\">\n" +
          cards + "</div>\n" + legend(gain));
}

}  // namespace ditq
