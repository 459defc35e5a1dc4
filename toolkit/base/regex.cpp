#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <pcre2.h>

#include "base/error.h"
#include "base/printable.h"

namespace ditq {

struct Regex::Code {
  pcre2_code* search = nullptr;
  pcre2_code* full = nullptr;
  pcre2_match_data* match = nullptr;
  pcre2_match_context* context = nullptr;

  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() {
    pcre2_code_free(search);
    pcre2_code_free(full);
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
  }
};

namespace {

/// PCRE2 counts steps anew at every position where a match may start: this many for all of them together. Module names
/// of 100 bytes need a few hundred a position.
constexpr std::size_t kMatchSteps = 2'000'000;
constexpr std::uint32_t kDepthLimit = 10'000;
constexpr std::uint32_t kHeapLimit = 64 * 1024;  ///< KiB

std::string message_of(int error) {
  std::array<unsigned char, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// Python spellings that PCRE2 has under another name: \Z is the very end there, \z here.
std::string translate(const std::string& pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    out += pattern[i];
    if (pattern[i] != '\\' || i + 1 == pattern.size()) continue;
    ++i;
    out += pattern[i] == 'Z' ? 'z' : pattern[i];
  }
  return out;
}

pcre2_code* compile(const std::string& pattern, std::uint32_t options) {
  if (pattern.size() > kMaxPattern) {
    throw Error(ErrorCode::bad_pattern,
                fmt::format("pattern '{}' is too long", printable(pattern, 100)),
                {.expected = fmt::format("at most {} bytes", kMaxPattern),
                 .found = fmt::format("{} bytes", pattern.size())});
  }
  const std::string translated = translate(pattern);
  int error = 0;
  PCRE2_SIZE position = 0;
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | options, &error, &position, nullptr);
  if (code == nullptr) {
    throw Error(ErrorCode::bad_pattern,
                fmt::format("pattern '{}' is no regular expression: {} at position {}", pattern,
                            message_of(error), position));
  }
  return code;
}

}  // namespace

Regex::Regex(const std::string& pattern) : pattern_(pattern), code_(std::make_unique<Code>()) {
  code_->search = compile(pattern, 0);
  code_->full = compile(pattern, PCRE2_ANCHORED | PCRE2_ENDANCHORED);
  code_->match = pcre2_match_data_create_from_pattern(code_->search, nullptr);
  code_->context = pcre2_match_context_create(nullptr);
  pcre2_set_depth_limit(code_->context, kDepthLimit);
  pcre2_set_heap_limit(code_->context, kHeapLimit);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

namespace {

[[noreturn]] void raise_match_error(const std::string& pattern,
                                    std::string_view text,
                                    const std::string& reason,
                                    ErrorCode code) {
  throw Error(code,
              fmt::format("pattern '{}' cannot be matched against '{}': {}", pattern,
                          printable(text, 200), reason),
              {.advice = code == ErrorCode::bad_text ? "" : "Write it without nested repetition"});
}

/// Where a match starts and ends, or nothing. Errors: pattern_too_costly, bad_text.
std::optional<std::pair<std::size_t, std::size_t>> match_at(const pcre2_code* code,
                                                            pcre2_match_data* data,
                                                            pcre2_match_context* context,
                                                            std::string_view text,
                                                            std::size_t start,
                                                            const std::string& pattern) {
  if (text.size() > kMaxMatchedText) {
    raise_match_error(pattern, text, fmt::format("more than {} bytes of text", kMaxMatchedText),
                      ErrorCode::pattern_too_costly);
  }
  // Without PCRE2's compiler to machine code, which counts otherwise: what is too costly must not depend on the machine.
  pcre2_set_match_limit(context, static_cast<std::uint32_t>(kMatchSteps / (text.size() + 1)));
  const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                                0, data, context);
  if (count == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (count < 0) {
    const bool not_utf8 = count <= PCRE2_ERROR_UTF8_ERR1 && count >= PCRE2_ERROR_UTF8_ERR21;
    raise_match_error(pattern, text, message_of(count),
                      not_utf8 ? ErrorCode::bad_text : ErrorCode::pattern_too_costly);
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
  return std::pair{offsets[0], offsets[1]};
}

/// Bytes of the character that begins at `at`.
std::size_t character_size(std::string_view text, std::size_t at) {
  std::size_t size = 1;
  while (at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xC0) == 0x80) {
    ++size;
  }
  return size;
}

void append_replacement(std::string& out,
                        std::string_view replacement,
                        std::string_view text,
                        pcre2_match_data* data) {
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
  const std::uint32_t groups = pcre2_get_ovector_count(data);
  for (std::size_t i = 0; i < replacement.size(); ++i) {
    const bool is_group = replacement[i] == '\\' && i + 1 < replacement.size() &&
                          replacement[i + 1] >= '1' && replacement[i + 1] <= '9';
    if (!is_group) {
      out += replacement[i];
      continue;
    }
    const auto group = static_cast<std::uint32_t>(replacement[++i] - '0');
    DITQ_ASSERT(group < groups);
    if (offsets[2 * group] != PCRE2_UNSET) {
      out += text.substr(offsets[2 * group], offsets[2 * group + 1] - offsets[2 * group]);
    }
  }
}

}  // namespace

bool Regex::search(std::string_view text) const {
  return match_at(code_->search, code_->match, code_->context, text, 0, pattern_).has_value();
}

bool Regex::full_match(std::string_view text) const {
  return match_at(code_->full, code_->match, code_->context, text, 0, pattern_).has_value();
}

std::string Regex::replace(std::string_view text, std::string_view replacement) const {
  std::string out;
  std::size_t start = 0;
  while (start <= text.size()) {
    const auto match = match_at(code_->search, code_->match, code_->context, text, start, pattern_);
    if (!match) break;
    out += text.substr(start, match->first - start);
    append_replacement(out, replacement, text, code_->match);
    start = match->second;
    if (match->first != match->second) continue;
    const std::size_t skipped = start < text.size() ? character_size(text, start) : 1;
    if (start < text.size()) out += text.substr(start, skipped);
    start += skipped;
  }
  if (start < text.size()) out += text.substr(start);
  return out;
}

}  // namespace ditq
