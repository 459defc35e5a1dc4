// Pairs of pictures, worst first: a slider between the two and a map of their difference. Without the script, and in
// print, all pairs stand below each other.

#include <algorithm>
#include <set>

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
constexpr std::int64_t kLeastPixels = kSharedPixels / (3 * kMostReportPairs);

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

/// One amplification for all maps, so that they can be compared: as much as shows the middle one unclipped.
int common_gain(const std::vector<Shown>& pairs) {
  std::vector<int> strengths;
  for (const Shown& shown : pairs) {
    if (shown.difference) strengths.push_back(shown.difference->usual_largest());
  }
  if (strengths.empty()) return 1;
  std::sort(strengths.begin(), strengths.end());
  for (const int gain : {32, 16, 8, 4, 2}) {
    if (gain * strengths[strengths.size() / 2] <= 255) return gain;
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
                   : fmt::format("Difference{}; the largest is {} of 255",
                                 gain == 1 ? "" : fmt::format(", amplified × {}", gain), largest);
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

/// What stands over a pair: with one pair its prompt, otherwise also which run it is.
std::string heading(const Shown& shown, bool alone) {
  const std::string prompt = shown.run == nullptr ? "" : foreign(shown.run->prompt);
  if (alone && prompt != foreign("")) return "<h3 class=\"prompt\">" + prompt + "</h3>\n";
  const std::string name = "<h3>" + escaped(pair_name(shown)) + "</h3>\n";
  return prompt == foreign("") || prompt.empty()
             ? name
             : name + "<p class=\"prompt\">" + prompt + "</p>\n";
}

std::string card(const Shown& shown, std::int64_t pixels, int gain, bool alone) {
  const CopySize size =
      copy_size(shown.pair->reference.width, shown.pair->reference.height, pixels);
  std::string words = heading(shown, alone);
  const std::string badge = decibel(shown.frame.psnr_db);
  if (shown.run != nullptr) {
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

std::string legend(int gain, std::size_t pairs) {
  std::string words = "the channel that differs most";
  if (gain > 1) words += fmt::format(", amplified × {}", gain);
  if (pairs > 1) words += ", on one scale for all runs";
  return fmt::format(
      "<p class=\"legend\">Difference map: <span class=\"scale\"><span>0</span><span "
      "class=\"ramp\" "
      "role=\"img\" aria-label=\"black over violet and orange to pale yellow\"></span>"
      "<span>{} of 255{}</span></span> – {}.</p>\n",
      255 / gain, gain > 1 ? " and more" : "", words);
}

std::string lead_words(const ReportView& view, const std::vector<Shown>& pairs) {
  std::string out =
      "Both from the same prompt, seed and settings: only the checkpoint differs. <span "
      "class=\"with-script\">Drag the divider, or use the arrow keys: reference on its left, "
      "candidate on its right.</span>";
  if (pairs.size() > 1) out += " Worst PSNR first.";
  std::set<std::int64_t> runs;
  for (const Shown& shown : pairs) runs.insert(shown.pair->run);
  if (runs.size() < view.runs.size()) {
    out += fmt::format(" {} of {} runs are shown; the table below has the figures of all.",
                       runs.size(), view.runs.size());
  }
  return "<p class=\"lead\">" + out + "</p>\n";
}

}  // namespace

std::string pictures_section(const ReportView& view) {
  std::vector<Shown> pairs = sorted_pairs(view);
  if (pairs.empty()) return "";
  pairs.resize(std::min(pairs.size(), kMostReportPairs));
  for (Shown& shown : pairs) {
    shown.difference = difference(shown.pair->reference, shown.pair->candidate);
  }
  const int gain = common_gain(pairs);
  const std::int64_t share =
      kSharedPixels / (3 * static_cast<std::int64_t>(std::max<std::size_t>(1, pairs.size() - 1)));
  std::string cards;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    cards += card(pairs[i], i == 0 ? kMostPixels : std::min(share, kMostPixels), gain,
                  pairs.size() == 1);
  }
  return section(
      "pictures", "Pictures",
      lead_words(view, pairs) +
          "<div class=\"chooser\" role=\"group\" aria-label=\"Runs, worst first\"></div>\n"
          "<div class=\"runs\">\n" +
          cards + "</div>\n" + legend(gain, pairs.size()));
}

}  // namespace ditq
