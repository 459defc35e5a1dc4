#include "text/unigram.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace ditq {
namespace {

/// How much worse than the worst piece an unknown character is.
constexpr double kUnknownPenalty = 10.0;

std::uint64_t edge(std::uint32_t node, char byte) {
  return (std::uint64_t{node} << 8) | static_cast<unsigned char>(byte);
}

std::size_t char_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

/// The best way found so far to end at a byte.
struct Unigram::Step {
  double score = 0.0;
  std::size_t start = std::string_view::npos;  ///< npos: not reached yet
  std::int64_t id = 0;

  void offer(double candidate, std::size_t from, std::int64_t piece) {
    if (start == std::string_view::npos || candidate > score) *this = {candidate, from, piece};
  }
};

Unigram::Unigram(std::vector<UnigramPiece> pieces,
                 std::int64_t unk_id,
                 ScorePrecision precision,
                 const std::string& path)
    : pieces_(std::move(pieces)),
      unk_id_(unk_id),
      precision_(precision),
      children_(pieces_.size() * 2),
      ids_{-1} {
  if (unk_id < 0 || unk_id >= size()) {
    bad_tokenizer(
        "the id of the unknown token is outside the vocabulary", path,
        {.expected = fmt::format("0 to {}", size() - 1), .found = std::to_string(unk_id)});
  }
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i].hidden) continue;
    lowest = std::min(lowest, pieces_[i].score);
    add_to_trie(i, path);
  }
  unk_score_ = sum(lowest, -kUnknownPenalty);
}

void Unigram::add_to_trie(std::size_t id, const std::string& path) {
  std::uint32_t node = 0;
  for (const char byte : pieces_[id].text) {
    const auto fresh = static_cast<std::uint32_t>(ids_.size());
    if (children_.insert(edge(node, byte), fresh)) {
      ids_.push_back(-1);
      node = fresh;
    } else {
      node = *children_.find(edge(node, byte));
    }
  }
  if (ids_[node] >= 0) {
    bad_tokenizer(fmt::format("pieces {} and {} are the same", ids_[node], id), path,
                  {.found = "'" + pieces_[id].text + "'"});
  }
  ids_[node] = static_cast<std::int32_t>(id);
}

double Unigram::sum(double score, double so_far) const {
  const double exact = score + so_far;
  return precision_ == ScorePrecision::f64 ? exact : static_cast<float>(exact);
}

std::optional<std::uint32_t> Unigram::child(std::uint32_t node, char byte) const {
  return children_.find(edge(node, byte));
}

std::vector<Unigram::Step> Unigram::best_steps(std::string_view utf8) const {
  std::vector<Step> steps(utf8.size() + 1);
  for (std::size_t start = 0; start < utf8.size(); start += char_bytes(utf8[start])) {
    const double so_far = steps[start].score;
    const std::size_t one_char = char_bytes(utf8[start]);
    bool known = false;
    std::uint32_t node = 0;
    for (std::size_t end = start; end < utf8.size();) {
      const auto next = child(node, utf8[end]);
      if (!next) break;
      node = *next;
      ++end;
      if (ids_[node] < 0) continue;
      const auto id = static_cast<std::size_t>(ids_[node]);
      steps[end].offer(sum(pieces_[id].score, so_far), start, ids_[node]);
      known = known || end - start == one_char;
    }
    if (!known) steps[start + one_char].offer(sum(unk_score_, so_far), start, unk_id_);
  }
  return steps;
}

void Unigram::encode(std::string_view utf8, std::vector<std::int64_t>& out) const {
  if (utf8.size() > kMaxNormalizedBytes) {
    throw Error(ErrorCode::bad_text, "the normalized text is too long",
                {.expected = fmt::format("at most {} bytes", kMaxNormalizedBytes),
                 .found = fmt::format("{} bytes", utf8.size())});
  }
  const std::vector<Step> steps = best_steps(utf8);
  const auto first = static_cast<std::ptrdiff_t>(out.size());
  for (std::size_t end = utf8.size(); end > 0;) {
    std::size_t start = steps[end].start;
    std::int64_t id = steps[end].id;
    if (id == unk_id_) {
      while (start > 0 && steps[start].id == unk_id_) start = steps[start].start;
      // The library looks the fused text up again, and may find a piece that was not worth it
      // before.
      id = find(utf8.substr(start, end - start)).value_or(unk_id_);
    }
    out.push_back(id);
    end = start;
  }
  std::reverse(out.begin() + first, out.end());
}

std::optional<std::int64_t> Unigram::find(std::string_view piece) const {
  std::uint32_t node = 0;
  for (const char byte : piece) {
    const auto next = child(node, byte);
    if (!next) return std::nullopt;
    node = *next;
  }
  if (ids_[node] < 0) return std::nullopt;
  return ids_[node];
}

}  // namespace ditq
