#include "format/pickle_writer.h"

#include <bit>
#include <limits>
#include <map>
#include <type_traits>

#include "base/error.h"

namespace ditq {
namespace {

class Writer {
 public:
  std::string write(const PickleItem& root) {
    out_ = "\x80\x02";
    put(root);
    out_ += '.';
    return std::move(out_);
  }

 private:
  using Pairs = std::vector<std::pair<PickleItem, PickleItem>>;

  void put(const PickleItem& item) {
    std::visit([this](const auto& value) { put_value(value); }, item.data);
  }

  void put_value(std::monostate /*none*/) { out_ += 'N'; }
  void put_value(bool value) { out_ += value ? '\x88' : '\x89'; }

  void put_value(std::int64_t value) {
    if (value >= 0 && value <= 0xff) {
      out_ += 'K';
      little_endian(static_cast<std::uint64_t>(value), 1);
    } else if (value >= 0 && value <= 0xffff) {
      out_ += 'M';
      little_endian(static_cast<std::uint64_t>(value), 2);
    } else if (value >= std::numeric_limits<std::int32_t>::min() &&
               value <= std::numeric_limits<std::int32_t>::max()) {
      out_ += 'J';
      little_endian(static_cast<std::uint64_t>(value), 4);
    } else {  // LONG1 of eight bytes, two's complement
      out_ += "\x8a\x08";
      little_endian(static_cast<std::uint64_t>(value), 8);
    }
  }

  void put_value(double value) {
    out_ += 'G';
    const auto bits = std::bit_cast<std::uint64_t>(value);
    for (int shift = 56; shift >= 0; shift -= 8) out_ += static_cast<char>(bits >> shift);
  }

  void put_value(const std::string& value) {
    if (recall("text " + value)) return;
    DITQ_ASSERT(value.size() <= std::numeric_limits<std::uint32_t>::max());
    out_ += 'X';
    little_endian(value.size(), 4);
    out_ += value;
    memoize("text " + value);
  }

  void put_value(const PickleItem::Global& value) {
    const std::string text = value.module + "\n" + value.name + "\n";
    if (recall("global " + text)) return;
    out_ += 'c' + text;
    memoize("global " + text);
  }

  void put_value(const PickleItem::Dict& value) {
    out_ += '}';
    set_items(value.items);
  }

  void put_value(const PickleItem::List& value) {
    out_ += ']';
    if (value.items.empty()) return;
    out_ += '(';
    for (const PickleItem& item : value.items) put(item);
    out_ += 'e';
  }

  void put_value(const PickleItem::Tuple& value) { put_tuple(value.items); }

  void put_value(const PickleItem::Call& value) {
    put_value(value.function);
    put_tuple(value.arguments);
    out_ += 'R';
    set_items(value.items);
    for (const PickleItem& state : value.state) {
      put(state);
      out_ += 'b';
    }
  }

  void put_value(const PickleItem::PersistentId& value) {
    put_tuple(value.key);
    out_ += 'Q';
  }

  void put_tuple(const std::vector<PickleItem>& items) {
    if (items.size() > 3) out_ += '(';
    for (const PickleItem& item : items) put(item);
    constexpr const char* kBySize[] = {")", "\x85", "\x86", "\x87"};
    out_ += items.size() > 3 ? "t" : kBySize[items.size()];
  }

  void set_items(const Pairs& items) {
    if (items.empty()) return;
    out_ += '(';
    for (const auto& [key, value] : items) {
      put(key);
      put(value);
    }
    out_ += 'u';
  }

  bool recall(const std::string& what) {
    const auto found = memo_.find(what);
    if (found == memo_.end()) return false;
    put_index(found->second, 'h', 'j');
    return true;
  }

  void memoize(const std::string& what) {
    const auto index = static_cast<std::uint32_t>(memo_.size());
    memo_.emplace(what, index);
    put_index(index, 'q', 'r');
  }

  void put_index(std::uint32_t index, char small, char large) {
    out_ += index <= 0xff ? small : large;
    little_endian(index, index <= 0xff ? 1 : 4);
  }

  void little_endian(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(value >> (8 * i));
  }

  std::string out_;
  std::map<std::string, std::uint32_t> memo_;
};

}  // namespace

std::string write_pickle(const PickleItem& root) {
  return Writer().write(root);
}

}  // namespace ditq
