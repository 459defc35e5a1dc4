#include "text/byte_bpe.h"

#include <functional>
#include <queue>
#include <utility>

#include <fmt/format.h>

#include "text/unicode.h"

namespace ditq {
namespace {

constexpr std::string_view kEndOfWord = "</w>";
constexpr std::uint32_t kNone = ~std::uint32_t{0};

/// Words up to this many bytes are worth remembering; longer ones hardly repeat.
constexpr std::size_t kLongestCachedWord = 64;

/// GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the other bytes for U+0100
/// onwards.
char32_t byte_symbol(unsigned char byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  if (printable(byte)) return byte;
  char32_t symbol = 0x100;
  for (int b = 0; b < byte; ++b) symbol += printable(b) ? 0 : 1;
  return symbol;
}

std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
  return (std::uint64_t{left} << 32) | right;
}

}  // namespace

struct ByteBpe::Symbol {
  std::uint32_t id;
  std::uint32_t previous, next;  ///< positions, kNone at the ends
  bool gone;                     ///< merged into its left neighbour
};

/// One word while it is merged: a linked list of symbols and the pairs that may merge, best first.
class ByteBpe::Word {
 public:
  Word(const ByteBpe& bpe, std::string_view bytes) : bpe_(bpe) {
    const auto count = static_cast<std::uint32_t>(bytes.size());
    symbols_.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto byte = static_cast<unsigned char>(bytes[i]);
      symbols_.push_back({.id = i + 1 == count ? bpe.last_[byte] : bpe.inner_[byte],
                          .previous = i == 0 ? kNone : i - 1,
                          .next = i + 1 == count ? kNone : i + 1,
                          .gone = false});
    }
    for (std::uint32_t i = 0; i + 1 < count; ++i) offer(i, queue_);
  }

  std::vector<std::int64_t> merge() {
    std::vector<Candidate> later;
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      if (still_there(best)) join(best, later);
      const bool round_over = queue_.empty() || queue_.top().rank != best.rank;
      if (bpe_.order_ == MergeOrder::heap || round_over) {
        for (const Candidate& candidate : later) queue_.push(candidate);
        later.clear();
      }
    }
    std::vector<std::int64_t> ids;
    for (const Symbol& symbol : symbols_) {
      if (!symbol.gone) ids.push_back(symbol.id);
    }
    return ids;
  }

 private:
  /// A pair by its left position.
  struct Candidate {
    std::uint32_t rank, position;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  using Queue = std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

  std::optional<std::uint32_t> rank_at(std::uint32_t position) const {
    const Symbol& left = symbols_[position];
    if (left.gone || left.next == kNone) return std::nullopt;
    return bpe_.ranks_.find(pair_key(left.id, symbols_[left.next].id));
  }
  template <typename Sink>
  void offer(std::uint32_t position, Sink& sink) const {
    const auto rank = rank_at(position);
    if (!rank) return;
    if constexpr (std::is_same_v<Sink, Queue>) {
      sink.push({*rank, position});
    } else {
      sink.push_back({*rank, position});
    }
  }
  bool still_there(const Candidate& candidate) const {
    const auto rank = rank_at(candidate.position);
    if (!rank) return false;
    // The heap takes whatever pair makes the same symbol; a round is about one pair.
    return *rank == candidate.rank ||
           (bpe_.order_ == MergeOrder::heap && bpe_.merged_[*rank] == bpe_.merged_[candidate.rank]);
  }
  void join(const Candidate& best, std::vector<Candidate>& later) {
    Symbol& left = symbols_[best.position];
    Symbol& right = symbols_[left.next];
    left.id = bpe_.merged_[best.rank];
    left.next = right.next;
    right.gone = true;
    if (left.next != kNone) symbols_[left.next].previous = best.position;
    if (left.previous != kNone) offer(left.previous, later);
    offer(best.position, later);
  }

  const ByteBpe& bpe_;
  std::vector<Symbol> symbols_;
  Queue queue_;
};

ByteBpe::ByteBpe(BpeTables tables, MergeOrder order)
    : tokens_(std::move(tables.tokens)), index_(tokens_), order_(order) {
  if (const auto repeated = index_.repeated()) {
    bad_tokenizer("a token is listed twice", tables.vocab_path,
                  {.found = "'" + tokens_[*repeated] + "'"});
  }
  find_byte_symbols(tables.vocab_path);
  read_merges(tables);
}

void ByteBpe::find_byte_symbols(const std::string& path) {
  for (std::size_t byte = 0; byte < inner_.size(); ++byte) {
    std::string symbol;
    unicode::append_utf8(byte_symbol(static_cast<unsigned char>(byte)), symbol);
    const auto inner = index_.find(symbol);
    const auto last = index_.find(symbol + std::string(kEndOfWord));
    if (!inner || !last) {
      bad_tokenizer(fmt::format("the vocabulary lacks the symbol of byte 0x{:02X}", byte), path,
                    {.expected = fmt::format("'{0}' and '{0}{1}'", symbol, kEndOfWord),
                     .advice = "Is this a CLIP tokenizer?"});
    }
    inner_[byte] = *inner;
    last_[byte] = *last;
  }
}

void ByteBpe::read_merges(const BpeTables& tables) {
  ranks_ = KeyMap(tables.merges.size());
  merged_.reserve(tables.merges.size());
  std::string whole;
  for (const auto& [left, right] : tables.merges) {
    whole.assign(left).append(right);
    const auto left_id = index_.find(left);
    const auto right_id = index_.find(right);
    const auto whole_id = index_.find(whole);
    if (!left_id || !right_id || !whole_id) {
      bad_tokenizer(fmt::format("merge {} ('{}' '{}') needs a token that {} lacks", merged_.size(),
                                left, right, tables.vocab_path),
                    tables.merges_path,
                    {.expected = "'" +
                                 (!left_id    ? left
                                  : !right_id ? right
                                              : whole) +
                                 "'",
                     .advice = "The vocabulary and the merges belong to different tokenizers."});
    }
    if (!ranks_.insert(pair_key(*left_id, *right_id), static_cast<std::uint32_t>(merged_.size()))) {
      bad_tokenizer(
          fmt::format("merge {} ('{}' '{}') is listed twice", merged_.size(), left, right),
          tables.merges_path);
    }
    merged_.push_back(*whole_id);
  }
}

void ByteBpe::encode(std::string_view word, Cache& cache, std::vector<std::int64_t>& out) const {
  if (word.size() > kLongestCachedWord) {
    const std::vector<std::int64_t> ids = merge_word(word);
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }
  auto known = cache.find(word);
  if (known == cache.end()) known = cache.emplace(word, merge_word(word)).first;
  out.insert(out.end(), known->second.begin(), known->second.end());
}

std::vector<std::int64_t> ByteBpe::merge_word(std::string_view word) const {
  return Word(*this, word).merge();
}

std::optional<std::int64_t> ByteBpe::find(std::string_view token) const {
  const auto id = index_.find(token);
  if (!id) return std::nullopt;
  return *id;
}

std::string ByteBpe::bytes(std::string_view token) const {
  static const auto byte_of = [] {
    std::unordered_map<char32_t, char> map;
    for (int byte = 0; byte < 256; ++byte) {
      map[byte_symbol(static_cast<unsigned char>(byte))] = static_cast<char>(byte);
    }
    return map;
  }();
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const auto found = byte_of.find(unicode::next_char(token, at));
    if (found == byte_of.end()) return std::string(token);
    out.push_back(found->second);
  }
  return out;
}

}  // namespace ditq
