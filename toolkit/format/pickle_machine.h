#pragma once
// The interpreter of pickle protocols 2 to 5, restricted to the opcodes that build plain data. What
// globals, calls and persistent ids mean is decided by PickleRules; the machine itself only moves
// values. Nothing is executed.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "format/torch_pickle.h"

namespace ditq {

/// Limits of the reader: real checkpoints have some 10^4 values in less than 2 MB of pickle.
inline constexpr std::uint64_t kMaxPickleBytes = std::uint64_t{1} << 26;
inline constexpr std::uint64_t kMaxPickleValues =
    2'000'000;  ///< values made, copied members included
inline constexpr std::uint64_t kMaxPickleTree =
    1'000'000'000;  ///< values when shared ones count once a use
inline constexpr std::uint32_t kMaxPickleDepth = 128;

struct PickleNode;

/// A name that stands for code or a type in Python, such as "torch._utils._rebuild_tensor_v2".
struct PickleGlobal {
  std::string name;
};

/// A sequence; Python keeps the kinds apart where it matters.
struct PickleSequence {
  enum class Kind { list, tuple, set };
  Kind kind = Kind::list;
  std::vector<PickleNode*> items;
};

/// A dict; `ordered` for collections.OrderedDict, which alone may carry attributes.
struct PickleTable {
  bool ordered = false;
  std::vector<std::pair<PickleNode*, PickleNode*>> items;
};

/// A storage entry of the archive. Without a dtype it holds bytes.
struct PickleStorage {
  std::string key;
  std::optional<Dtype> dtype;
  std::uint64_t offset = 0;  ///< bytes from the start of the file
  std::uint64_t size = 0;    ///< bytes
};

/// A value while the pickle runs. Nodes belong to the machine and point to one another freely,
/// cycles included.
struct PickleNode {
  std::variant<std::monostate,
               bool,
               std::int64_t,
               double,
               std::string,
               PickleGlobal,
               PickleSequence,
               PickleTable,
               PickleStorage,
               std::unique_ptr<TorchTensor>>
      data;

  template <typename T>
  const T* get_if() const {
    return std::get_if<T>(&data);
  }
  template <typename T>
  T* get_if() {
    return std::get_if<T>(&data);
  }
};

class PickleMachine;

/// What names, calls and persistent ids mean. Each function raises an Error for what it does not
/// know.
class PickleRules {
 public:
  virtual ~PickleRules() = default;
  /// Whether a pickle may name this at all.
  virtual bool knows(const std::string& global) const = 0;
  /// The result of calling `global`. Errors: pickle_global, pickle_structure and what the result's
  /// checks raise.
  virtual PickleNode* call(const std::string& global,
                           const PickleSequence& arguments,
                           PickleMachine& machine) = 0;
  /// The storage behind a persistent id. Errors: pickle_structure, zip_structure, unknown_dtype.
  virtual PickleStorage load(const PickleNode& id) = 0;
};

/// Runs one pickle. `path` names the file in errors.
class PickleMachine {
 public:
  PickleMachine(std::string_view pickle, std::string path, PickleRules& rules);

  /// The value that the pickle leaves. Errors: pickle_opcode, pickle_global, pickle_structure, and
  /// the rules'.
  PickleNode* run();

  /// A new node. Errors: pickle_structure when there are too many.
  template <typename T>
  PickleNode* make(T value) {
    charge(1);
    nodes_.emplace_back().data = std::move(value);
    return &nodes_.back();
  }
  /// Counts copied members against the limit. Errors: pickle_structure.
  void charge(std::uint64_t count);
  /// Raises pickle_structure with the position of the current opcode.
  [[noreturn]] void fail(std::string_view sentence, ErrorFacts facts = {}) const;

 private:
  bool step();
  bool step_constant(unsigned char opcode);
  bool step_container(unsigned char opcode);
  bool step_memo(unsigned char opcode);
  bool step_call(unsigned char opcode);

  std::string_view take(std::uint64_t count);
  template <typename T>
  T take_number();
  std::string_view take_line();
  std::int64_t take_long(std::size_t bytes);
  std::string take_text(std::uint64_t size);

  void push(PickleNode* node);
  PickleNode* pop();
  PickleNode* top();
  std::vector<PickleNode*> pop_to_mark();
  void push_tuple(std::size_t count);

  void memoize(std::uint64_t index);
  void recall(std::uint64_t index);
  void append(const std::vector<PickleNode*>& items, PickleSequence::Kind kind);
  void set_items(const std::vector<PickleNode*>& items);
  void push_global(const std::string& module, const std::string& name);
  void call();
  void build();

  std::string_view pickle_;
  std::string path_;
  PickleRules& rules_;
  std::uint64_t position_ = 0;         ///< of the next byte
  std::uint64_t opcode_position_ = 0;  ///< of the current opcode
  std::uint64_t charged_ = 0;
  std::deque<PickleNode> nodes_;
  std::vector<PickleNode*> stack_;
  std::vector<std::size_t> marks_;  ///< stack heights
  std::vector<PickleNode*> memo_;   ///< nullptr where nothing was stored
  std::uint64_t memo_count_ = 0;
};

}  // namespace ditq
