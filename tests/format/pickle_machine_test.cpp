// Limits of the machine, which files of a reasonable size cannot reach.

#include "format/pickle_machine.h"

#include <gtest/gtest.h>

#include "helpers.h"

namespace ditq {
namespace {

/// Rules that know no global.
class NoRules : public PickleRules {
 public:
  bool knows(const std::string& /*global*/) const override { return false; }
  PickleNode* call(const std::string& /*global*/,
                   const PickleSequence& /*arguments*/,
                   PickleMachine& machine) override {
    machine.fail("no calls here");
  }
  PickleStorage load(const PickleNode& /*id*/) override { return {}; }
};

/// The sentence of the Error that a pickle raises after its protocol number, or "ok".
std::string result_of(const std::string& opcodes) {
  NoRules rules;
  const std::string pickle = "\x80\x04" + opcodes;
  const auto error = test::error_of([&] { PickleMachine(pickle, "file", rules).run(); });
  if (!error) return "ok";
  EXPECT_EQ(error->facts().path, "file");
  return error->sentence().substr(0, error->sentence().find(" (byte"));
}

std::string repeat(const std::string& text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

/// LONG1 of the given bytes.
std::int64_t long_of(const std::string& bytes) {
  NoRules rules;
  const std::string pickle =
      "\x80\x04\x8a" + std::string(1, static_cast<char>(bytes.size())) + bytes + ".";
  PickleMachine machine(pickle, "file", rules);
  return *machine.run()->get_if<std::int64_t>();
}

TEST(PickleMachine, BoundsTheNumberOfValues) {
  const std::size_t most = kMaxPickleValues;
  EXPECT_EQ(result_of("]" + repeat("Na", most / 2 - 1) + "."), "ok");
  EXPECT_EQ(result_of("]" + repeat("Na", most / 2) + "."), "pickle: too many values");
  EXPECT_EQ(result_of("(" + repeat("N", most + 1) + "t."), "pickle: too many values");
}

TEST(PickleMachine, BoundsTheNumberOfMarks) {
  EXPECT_EQ(result_of(repeat("(", kMaxPickleValues + 1)), "pickle: there are too many open marks");
}

TEST(PickleMachine, BoundsWhatTheMemoMultiplies) {
  // Two bytes of pickle for each member, a thousand members a tuple.
  const std::string recalls = repeat(std::string("h\0", 2), 1000);
  EXPECT_EQ(result_of(std::string("]q\0", 3) + repeat("(" + recalls + "ta", 3000) + "."),
            "pickle: too many values");
}

TEST(PickleMachine, BoundsTheStack) {
  EXPECT_EQ(
      result_of(std::string("]q\0", 3) + repeat(std::string("h\0", 2), kMaxPickleValues) + "."),
      "pickle: the stack is too deep");
}

TEST(PickleMachine, BoundsTheMemosIndexes) {
  EXPECT_EQ(result_of(std::string("]r\x00\x00\x00\x10.", 7)), "pickle: a memo index is too large");
}

TEST(PickleMachine, ReadsLongIntegers) {
  EXPECT_EQ(long_of(""), 0);
  EXPECT_EQ(long_of("\xff"), -1);
  EXPECT_EQ(long_of(std::string("\xff\x00", 2)), 255);
  EXPECT_EQ(long_of(std::string("\x00\x00\x00\x00\x00\x00\x00\x80", 8)), INT64_MIN);
  EXPECT_EQ(long_of("\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX);
  EXPECT_EQ(long_of(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f\x00", 9)), INT64_MAX);
  EXPECT_EQ(result_of(std::string("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00.", 12)),
            "pickle: an integer needs more than 64 bits");
  EXPECT_EQ(result_of(std::string("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\xff.", 12)),
            "pickle: an integer needs more than 64 bits");
}

}  // namespace
}  // namespace ditq
