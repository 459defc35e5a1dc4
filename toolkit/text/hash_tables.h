#pragma once
// Two open-addressing hash tables for vocabularies. A real one has 50,000 entries and is built at
// every start: these take a third of the time of std::unordered_map.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ditq {

/// 64-bit keys to 32-bit values. The key ~0 is reserved.
class KeyMap {
 public:
  explicit KeyMap(std::size_t expected = 0) { resize(capacity_for(expected)); }

  /// Keeps the present value when the key is there; returns whether it was inserted.
  bool insert(std::uint64_t key, std::uint32_t value) {
    if (size_ * 2 >= slots_.size()) grow();
    Slot& slot = slots_[find_slot(key)];
    if (slot.key == key) return false;
    slot = {key, value};
    ++size_;
    return true;
  }

  /// The value of a key, or nothing.
  std::optional<std::uint32_t> find(std::uint64_t key) const {
    const Slot& slot = slots_[find_slot(key)];
    if (slot.key != key) return std::nullopt;
    return slot.value;
  }

 private:
  struct Slot {
    std::uint64_t key;
    std::uint32_t value;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  static std::size_t capacity_for(std::size_t expected) { return std::bit_ceil(expected * 2 + 16); }
  void resize(std::size_t capacity) { slots_.assign(capacity, Slot{kFree, 0}); }
  std::size_t find_slot(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    // Fibonacci hashing; the high half mixes best.
    std::size_t at = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15U) >> 32) & mask;
    while (slots_[at].key != key && slots_[at].key != kFree) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    const std::vector<Slot> old = std::move(slots_);
    resize(old.size() * 2);
    for (const Slot& slot : old) {
      if (slot.key != kFree) slots_[find_slot(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

/// Finds a string's position in a vector of distinct strings that outlives the index.
class StringIndex {
 public:
  explicit StringIndex(const std::vector<std::string>& strings)
      : strings_(&strings), slots_(std::bit_ceil(strings.size() * 2 + 16), kFree) {
    for (std::size_t i = 0; i < strings.size(); ++i) {
      std::uint32_t& slot = slots_[find_slot(strings[i])];
      if (slot != kFree) repeated_ = i;
      slot = static_cast<std::uint32_t>(i);
    }
  }

  /// Position of a string that stands before it too, if there is one.
  std::optional<std::size_t> repeated() const { return repeated_; }

  std::optional<std::uint32_t> find(std::string_view text) const {
    const std::uint32_t position = slots_[find_slot(text)];
    if (position == kFree) return std::nullopt;
    return position;
  }

 private:
  static constexpr std::uint32_t kFree = ~std::uint32_t{0};

  std::size_t find_slot(std::string_view text) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = std::hash<std::string_view>{}(text)&mask;
    while (slots_[at] != kFree && (*strings_)[slots_[at]] != text) at = (at + 1) & mask;
    return at;
  }

  const std::vector<std::string>* strings_;
  std::vector<std::uint32_t> slots_;
  std::optional<std::size_t> repeated_;
};

}  // namespace ditq
