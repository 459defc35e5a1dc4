#include "format/pickle_machine.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/error.h"

namespace ditq {
namespace {

// Opcodes that torch.save writes for plain data. Source: CPython Lib/pickletools.py.
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kEmptyTuple = ')',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

/// Names of opcodes that are refused, for the message.
std::string_view refused_name(unsigned char opcode) {
  switch (opcode) {
    case '0':
      return "POP";
    case '1':
      return "POP_MARK";
    case '2':
      return "DUP";
    case 'F':
      return "FLOAT";
    case 'I':
      return "INT";
    case 'L':
      return "LONG";
    case 'P':
      return "PERSID";
    case 'S':
      return "STRING";
    case 'T':
      return "BINSTRING";
    case 'U':
      return "SHORT_BINSTRING";
    case 'V':
      return "UNICODE";
    case 'd':
      return "DICT";
    case 'g':
      return "GET";
    case 'i':
      return "INST";
    case 'l':
      return "LIST";
    case 'o':
      return "OBJ";
    case 'p':
      return "PUT";
    case 0x81:
      return "NEWOBJ";
    case 0x82:
      return "EXT1";
    case 0x83:
      return "EXT2";
    case 0x84:
      return "EXT4";
    case 0x8b:
      return "LONG4";
    case 0x8e:
      return "BINBYTES8";
    case 0x92:
      return "NEWOBJ_EX";
    case 0x96:
      return "BYTEARRAY8";
    case 0x97:
      return "NEXT_BUFFER";
    case 0x98:
      return "READONLY_BUFFER";
    default:
      return "unknown";
  }
}

/// What may be a dict's key: what Python can hash, as far as plain data goes.
bool hashable(const PickleNode& node) {
  if (const auto* sequence = node.get_if<PickleSequence>()) {
    return sequence->kind == PickleSequence::Kind::tuple;
  }
  return node.get_if<PickleTable>() == nullptr;
}

}  // namespace

PickleMachine::PickleMachine(std::string_view pickle, std::string path, PickleRules& rules)
    : pickle_(pickle), path_(std::move(path)), rules_(rules) {}

void PickleMachine::fail(std::string_view sentence, ErrorFacts facts) const {
  facts.path = path_;
  throw Error(ErrorCode::pickle_structure,
              fmt::format("pickle: {} (byte {})", sentence, opcode_position_), std::move(facts));
}

void PickleMachine::charge(std::uint64_t count) {
  charged_ += count;
  if (charged_ > kMaxPickleValues) {
    fail("too many values", {.expected = fmt::format("at most {}", kMaxPickleValues)});
  }
}

PickleNode* PickleMachine::run() {
  if (pickle_.empty() || static_cast<unsigned char>(pickle_[0]) != kProto) {
    fail("it does not begin with a protocol number");
  }
  while (step()) {
  }
  if (position_ != pickle_.size()) fail("there are bytes behind its end");
  if (stack_.size() != 1 || !marks_.empty()) {
    fail("its end leaves more or less than one value",
         {.expected = "1 value", .found = fmt::format("{}", stack_.size())});
  }
  return stack_.front();
}

/// Runs one opcode; false at STOP.
bool PickleMachine::step() {
  opcode_position_ = position_;
  const auto opcode = static_cast<unsigned char>(take(1).front());
  switch (opcode) {
    case kStop:
      return false;
    case kProto: {
      const auto protocol = take_number<std::uint8_t>();
      if (opcode_position_ != 0) fail("a protocol number in the middle");
      if (protocol < 2 || protocol > 5) {
        fail("unknown protocol", {.expected = "2 to 5", .found = fmt::format("{}", protocol)});
      }
      return true;
    }
    case kFrame:
      if (take_number<std::uint64_t>() > pickle_.size() - position_) {
        fail("a frame is longer than the rest of the pickle");
      }
      return true;
    default:
      break;
  }
  if (step_constant(opcode) || step_container(opcode) || step_memo(opcode) || step_call(opcode)) {
    return true;
  }
  throw Error(ErrorCode::pickle_opcode,
              fmt::format("pickle: opcode {} (0x{:02x}) at byte {} is none that torch.save writes "
                          "for plain data",
                          refused_name(opcode), opcode, opcode_position_),
              {.path = path_, .advice = "Save the checkpoint as a dict of tensors"});
}

bool PickleMachine::step_constant(unsigned char opcode) {
  switch (opcode) {
    case kNone:
      push(make(std::monostate{}));
      return true;
    case kNewTrue:
      push(make(true));
      return true;
    case kNewFalse:
      push(make(false));
      return true;
    case kBinInt:
      push(make(std::int64_t{take_number<std::int32_t>()}));
      return true;
    case kBinInt1:
      push(make(std::int64_t{take_number<std::uint8_t>()}));
      return true;
    case kBinInt2:
      push(make(std::int64_t{take_number<std::uint16_t>()}));
      return true;
    case kLong1:
      push(make(take_long(take_number<std::uint8_t>())));
      return true;
    case kBinFloat: {
      const auto big_endian = take_number<std::uint64_t>();
      push(make(std::bit_cast<double>(__builtin_bswap64(big_endian))));
      return true;
    }
    case kShortBinUnicode:
      push(make(take_text(take_number<std::uint8_t>())));
      return true;
    case kBinUnicode:
      push(make(take_text(take_number<std::uint32_t>())));
      return true;
    case kBinUnicode8:
      push(make(take_text(take_number<std::uint64_t>())));
      return true;
    case kShortBinBytes:
      push(make(std::string(take(take_number<std::uint8_t>()))));
      return true;
    case kBinBytes:
      push(make(std::string(take(take_number<std::uint32_t>()))));
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_container(unsigned char opcode) {
  using Kind = PickleSequence::Kind;
  switch (opcode) {
    case kEmptyList:
      push(make(PickleSequence{.kind = Kind::list, .items = {}}));
      return true;
    case kEmptyTuple:
      push(make(PickleSequence{.kind = Kind::tuple, .items = {}}));
      return true;
    case kEmptySet:
      push(make(PickleSequence{.kind = Kind::set, .items = {}}));
      return true;
    case kEmptyDict:
      push(make(PickleTable{}));
      return true;
    case kTuple1:
      push_tuple(1);
      return true;
    case kTuple2:
      push_tuple(2);
      return true;
    case kTuple3:
      push_tuple(3);
      return true;
    case kMark:
      if (marks_.size() == kMaxPickleValues) fail("there are too many open marks");
      marks_.push_back(stack_.size());
      return true;
    case kTuple:
    case kFrozenSet: {
      auto items = pop_to_mark();
      charge(items.size());
      const Kind kind = opcode == kTuple ? Kind::tuple : Kind::set;
      push(make(PickleSequence{.kind = kind, .items = std::move(items)}));
      return true;
    }
    case kAppend:
      append({pop()}, Kind::list);
      return true;
    case kAppends:
      append(pop_to_mark(), Kind::list);
      return true;
    case kAddItems:
      append(pop_to_mark(), Kind::set);
      return true;
    case kSetItem: {
      PickleNode* value = pop();
      PickleNode* key = pop();
      set_items({key, value});
      return true;
    }
    case kSetItems:
      set_items(pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_memo(unsigned char opcode) {
  switch (opcode) {
    case kBinPut:
      memoize(take_number<std::uint8_t>());
      return true;
    case kLongBinPut:
      memoize(take_number<std::uint32_t>());
      return true;
    case kMemoize:
      memoize(memo_count_);
      return true;
    case kBinGet:
      recall(take_number<std::uint8_t>());
      return true;
    case kLongBinGet:
      recall(take_number<std::uint32_t>());
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_call(unsigned char opcode) {
  switch (opcode) {
    case kGlobal: {
      const std::string module(take_line());
      push_global(module, std::string(take_line()));
      return true;
    }
    case kStackGlobal: {
      const PickleNode* name = pop();
      const PickleNode* module = pop();
      const auto* name_text = name->get_if<std::string>();
      const auto* module_text = module->get_if<std::string>();
      if (name_text == nullptr || module_text == nullptr) fail("a global's name is no text");
      push_global(*module_text, *name_text);
      return true;
    }
    case kReduce:
      call();
      return true;
    case kBuild:
      build();
      return true;
    case kBinPersId: {
      const PickleNode* id = pop();
      push(make(rules_.load(*id)));
      return true;
    }
    default:
      return false;
  }
}

std::string_view PickleMachine::take(std::uint64_t count) {
  if (count > pickle_.size() - position_) fail("the pickle ends inside a value");
  const std::string_view bytes = pickle_.substr(position_, count);
  position_ += count;
  return bytes;
}

template <typename T>
T PickleMachine::take_number() {
  static_assert(std::endian::native == std::endian::little);
  T value{};
  std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
  return value;
}

std::string_view PickleMachine::take_line() {
  const std::size_t end = pickle_.find('\n', position_);
  if (end == std::string_view::npos) fail("the pickle ends inside a name");
  const std::string_view line = take(end - position_);
  take(1);
  return line;
}

/// A little-endian two's complement number; wider ones are accepted where their value fits.
std::int64_t PickleMachine::take_long(std::size_t bytes) {
  const std::string_view digits = take(bytes);
  std::uint64_t value = 0;
  const bool negative = !digits.empty() && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0;
  const unsigned char fill = negative ? 0xff : 0x00;
  for (std::size_t i = 0; i < std::max<std::size_t>(bytes, 8); ++i) {
    const auto digit = i < bytes ? static_cast<unsigned char>(digits[i]) : fill;
    if (i < 8) {
      value |= std::uint64_t{digit} << (8 * i);
    } else if (digit != fill) {
      fail("an integer needs more than 64 bits");
    }
  }
  const auto result = static_cast<std::int64_t>(value);
  if ((result < 0) != negative) fail("an integer needs more than 64 bits");
  return result;
}

std::string PickleMachine::take_text(std::uint64_t size) {
  const std::string_view text = take(size);
  if (!simdjson::validate_utf8(text.data(), text.size())) fail("a text is not UTF-8");
  return std::string(text);
}

void PickleMachine::push(PickleNode* node) {
  if (stack_.size() == kMaxPickleValues) fail("the stack is too deep");
  stack_.push_back(node);
}

PickleNode* PickleMachine::top() {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) fail("an opcode finds no value");
  return stack_.back();
}

PickleNode* PickleMachine::pop() {
  PickleNode* node = top();
  stack_.pop_back();
  return node;
}

std::vector<PickleNode*> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("an opcode finds no mark");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleNode*> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleMachine::push_tuple(std::size_t count) {
  PickleSequence tuple{.kind = PickleSequence::Kind::tuple, .items = {}};
  tuple.items.resize(count);
  for (std::size_t i = count; i-- > 0;) tuple.items[i] = pop();
  push(make(std::move(tuple)));
}

void PickleMachine::memoize(std::uint64_t index) {
  if (index >= kMaxPickleValues) fail("a memo index is too large");
  PickleNode* node = top();
  if (index >= memo_.size()) memo_.resize(index + 1, nullptr);
  if (memo_[index] == nullptr) ++memo_count_;
  memo_[index] = node;
}

void PickleMachine::recall(std::uint64_t index) {
  if (index >= memo_.size() || memo_[index] == nullptr) {
    fail("the memo has no such entry", {.found = fmt::format("entry {}", index)});
  }
  push(memo_[index]);
}

void PickleMachine::append(const std::vector<PickleNode*>& items, PickleSequence::Kind kind) {
  auto* target = top()->get_if<PickleSequence>();
  if (target == nullptr || target->kind != kind) {
    fail("members are added to what is no list or set");
  }
  charge(items.size());
  target->items.insert(target->items.end(), items.begin(), items.end());
}

void PickleMachine::set_items(const std::vector<PickleNode*>& items) {
  auto* target = top()->get_if<PickleTable>();
  if (target == nullptr) fail("items are set in what is no dict");
  if (items.size() % 2 != 0) fail("a key without a value");
  charge(items.size());
  for (std::size_t i = 0; i < items.size(); i += 2) {
    if (!hashable(*items[i])) fail("a list, set or dict as a key");
    target->items.emplace_back(items[i], items[i + 1]);
  }
}

void PickleMachine::push_global(const std::string& module, const std::string& name) {
  // Protocol 2 has Python 2's name of the module.
  std::string global = fmt::format("{}.{}", module == "__builtin__" ? "builtins" : module, name);
  if (!rules_.knows(global)) {
    throw Error(ErrorCode::pickle_global,
                fmt::format("pickle: it names '{}', which is not plain data", global),
                {.path = path_,
                 .expected = "tensors, numbers, texts, lists and dicts only",
                 .found = fmt::format("'{}' at byte {}", global, opcode_position_),
                 .advice = "Nothing of the file was executed. Save the state dict alone, or load "
                           "the checkpoint only with tools whose authors you trust"});
  }
  push(make(PickleGlobal{.name = std::move(global)}));
}

void PickleMachine::call() {
  const PickleNode* arguments = pop();
  const PickleNode* callee = pop();
  const auto* tuple = arguments->get_if<PickleSequence>();
  const auto* global = callee->get_if<PickleGlobal>();
  if (global == nullptr) fail("a value that is no global is called");
  if (tuple == nullptr || tuple->kind != PickleSequence::Kind::tuple) {
    fail("a call's arguments are no tuple");
  }
  push(rules_.call(global->name, *tuple, *this));
}

/// Attributes: torch sets them on an OrderedDict (a state dict's _metadata). They are no part of
/// the data.
void PickleMachine::build() {
  const PickleNode* state = pop();
  const auto* target = top()->get_if<PickleTable>();
  if (target == nullptr || !target->ordered || state->get_if<PickleTable>() == nullptr) {
    fail("attributes are set on what is no OrderedDict");
  }
}

}  // namespace ditq
