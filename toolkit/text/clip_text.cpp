#include "text/clip_text.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "text/unicode.h"

namespace ditq {
namespace {

constexpr char32_t kLongS = U'\u017F';

/// Python's str.split() on what the slow class leaves of white space.
bool is_gap(char32_t c) {
  return c == U' ' || c == U'\u2028' || c == U'\u2029';
}

bool is_cjk(char32_t c) {
  struct Block {
    char32_t first, last;
  };
  static constexpr std::array<Block, 8> kBlocks{{{0x4E00, 0x9FFF},
                                                 {0x3400, 0x4DBF},
                                                 {0x20000, 0x2A6DF},
                                                 {0x2A700, 0x2B73F},
                                                 {0x2B740, 0x2B81F},
                                                 {0x2B820, 0x2CEAF},
                                                 {0xF900, 0xFAFF},
                                                 {0x2F800, 0x2FA1F}}};
  return std::any_of(kBlocks.begin(), kBlocks.end(),
                     [c](const Block& b) { return c >= b.first && c <= b.last; });
}

/// Drops what the slow class drops and sets ideographs apart.
std::u32string clean(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = unicode::next_char(text, at);
    if (c == U'\t' || c == U'\n' || c == U'\r' || unicode::is_space_separator(c)) {
      out.push_back(U' ');
    } else if (c == U'\uFFFD' || unicode::is_other(c)) {
      continue;
    } else if (is_cjk(c)) {
      out.append({U' ', c, U' '});
    } else {
      out.push_back(c);
    }
  }
  return out;
}

enum class CharKind { letter, number, space, unmatched, mark };

/// Finds one word after the other.
class WordSplitter {
 public:
  WordSplitter(std::string_view text, ClipPattern pattern) : text_(text), pattern_(pattern) {}

  std::vector<std::string_view> split() {
    while (at_ < text_.size()) {
      if (take_special() || take_contraction()) continue;
      std::size_t next = at_;
      switch (kind(unicode::next_char(text_, next))) {
        case CharKind::letter:
          take_run(CharKind::letter);
          break;
        case CharKind::number:
          take(next - at_);
          break;
        case CharKind::mark:
          take_run(CharKind::mark);
          break;
        default:
          at_ = next;
      }
    }
    return std::move(words_);
  }

 private:
  CharKind kind(char32_t c) const {
    if (unicode::is_letter(c)) return CharKind::letter;
    if (unicode::is_number(c)) return CharKind::number;
    if (unicode::is_white_space(c)) return CharKind::space;
    // Python's regex, ignoring case, tries U+0345 as the letter iota in [^…] only: no class has it.
    if (pattern_ == ClipPattern::slow && c == U'\u0345') return CharKind::unmatched;
    return CharKind::mark;
  }

  void take(std::size_t bytes) {
    words_.push_back(text_.substr(at_, bytes));
    at_ += bytes;
  }

  void take_run(CharKind wanted) {
    std::size_t end = at_;
    for (std::size_t next = at_; next < text_.size(); end = next) {
      if (kind(unicode::next_char(text_, next)) != wanted) break;
    }
    take(end - at_);
  }

  /// Bytes of `word` at `at`; to a pattern that ignores case, the long s is an s. Text has no
  /// capitals left.
  std::size_t match(std::size_t at, std::string_view word) const {
    const std::size_t start = at;
    for (const char expected : word) {
      if (at == text_.size()) return 0;
      const char32_t c = unicode::next_char(text_, at);
      const bool long_s = pattern_ == ClipPattern::slow && expected == 's' && c == kLongS;
      if (c != static_cast<char32_t>(expected) && !long_s) return 0;
    }
    return at - start;
  }

  bool take_special() {
    if (pattern_ == ClipPattern::fast_classic || text_[at_] != '<') return false;
    for (const std::string_view special : {kClipStart, kClipEnd}) {
      const std::size_t bytes = match(at_, special);
      if (bytes == 0) continue;
      if (pattern_ == ClipPattern::slow) {
        take(bytes);
      } else {
        // The byte-level stage applies GPT-2's pattern, which tells letters and marks apart again.
        take(2);
        take(bytes - 4);
        take(2);
      }
      return true;
    }
    return false;
  }

  bool take_contraction() {
    if (text_[at_] != '\'') return false;
    for (const std::string_view ending : {"s", "t", "re", "ve", "m", "ll", "d"}) {
      const std::size_t bytes = match(at_ + 1, ending);
      if (bytes == 0) continue;
      take(1 + bytes);
      return true;
    }
    return false;
  }

  std::string_view text_;
  ClipPattern pattern_;
  std::size_t at_ = 0;
  std::vector<std::string_view> words_;
};

}  // namespace

std::string clip_normalize_fast(std::string_view text) {
  const std::u32string composed = unicode::nfc_of_unicode_9(unicode::to_utf32(text));
  std::u32string spaced;
  spaced.reserve(composed.size());
  for (std::size_t i = 0; i < composed.size(); ++i) {
    if (!unicode::is_white_space(composed[i])) {
      spaced.push_back(composed[i]);
    } else if (i == 0 || !unicode::is_white_space(composed[i - 1])) {
      spaced.push_back(U' ');
    }
  }
  return unicode::to_utf8(unicode::lower_each(spaced));
}

std::string clip_normalize_slow(std::string_view text) {
  const std::u32string composed = unicode::nfc(clean(text));
  std::u32string out;
  for (std::size_t at = 0; at < composed.size();) {
    if (is_gap(composed[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < composed.size() && !is_gap(composed[end])) ++end;
    if (!out.empty()) out.push_back(U' ');
    out += unicode::lower_with_final_sigma(std::u32string_view(composed).substr(at, end - at));
    at = end;
  }
  return unicode::to_utf8(out);
}

std::vector<std::string_view> clip_words(std::string_view text, ClipPattern pattern) {
  return WordSplitter(text, pattern).split();
}

}  // namespace ditq
