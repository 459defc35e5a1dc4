#pragma once
// Plain data and tensors as a pickle of protocol 2, with the opcodes that Python's own pickler writes for them.

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ditq {

/// A value to be pickled. Build it with the functions below; `data` is theirs and the writer's.
struct PickleItem {
  struct Dict {
    std::vector<std::pair<PickleItem, PickleItem>> items;
  };
  struct List {
    std::vector<PickleItem> items;
  };
  struct Tuple {
    std::vector<PickleItem> items;
  };
  /// A name that the reader imports: "torch" and "bfloat16".
  struct Global {
    std::string module;
    std::string name;
  };
  /// `function(*arguments)`; `items` become members of the result, an OrderedDict; `state` is given to its __setstate__
  /// where there is one element.
  struct Call {
    Global function;
    std::vector<PickleItem> arguments;
    std::vector<std::pair<PickleItem, PickleItem>> items;
    std::vector<PickleItem> state;
  };
  /// What the reader asks of the container by this key.
  struct PersistentId {
    std::vector<PickleItem> key;
  };

  std::variant<std::monostate,
               bool,
               std::int64_t,
               double,
               std::string,
               Dict,
               List,
               Tuple,
               Global,
               Call,
               PersistentId>
      data;

  PickleItem() = default;  ///< None
  /// A value of each kind; a text must be UTF-8 below 4 GiB.
  PickleItem(bool value) : data(value) {}
  PickleItem(int value) : data(std::int64_t{value}) {}
  PickleItem(std::int64_t value) : data(value) {}
  PickleItem(double value) : data(value) {}
  PickleItem(const char* value) : data(std::string(value)) {}
  PickleItem(std::string value) : data(std::move(value)) {}
  PickleItem(Dict value) : data(std::move(value)) {}
  PickleItem(List value) : data(std::move(value)) {}
  PickleItem(Tuple value) : data(std::move(value)) {}
  PickleItem(Global value) : data(std::move(value)) {}
  PickleItem(Call value) : data(std::move(value)) {}
  PickleItem(PersistentId value) : data(std::move(value)) {}
};

/// The pickle of a value, from PROTO to STOP. Repeated texts and globals are written once and referred to.
/// Source: CPython Lib/pickle.py @ 3.11 (protocol 2), Lib/pickletools.py for the opcodes.
std::string write_pickle(const PickleItem& root);

}  // namespace ditq
