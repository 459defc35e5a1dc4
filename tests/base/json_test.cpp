#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ditq {
namespace {

ErrorCode parse_error(const std::string& text) {
  try {
    parse_json(text, "x.json");
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::usage;
}

// Expected texts are what Python 3.11's json.dumps(json.loads(text)) prints.
TEST(Json, DumpsLikePython) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{}", "{}"},
      {"[]", "[]"},
      {R"({"b":1,"a":[1,2,{"c":null}]})", R"({"b": 1, "a": [1, 2, {"c": null}]})"},
      {"[1.0, 0.1, 1e-06, 1E5, 1e15, 1e16, 123456789012345680.0, 0.0001, 0.00001]",
       "[1.0, 0.1, 1e-06, 100000.0, 1000000000000000.0, 1e+16, 1.2345678901234568e+17, 0.0001, "
       "1e-05]"},
      {"[-0.0, 1.5e300, 5e-324]", "[-0.0, 1.5e+300, 5e-324]"},
      {"[NaN, Infinity, -Infinity]", "[NaN, Infinity, -Infinity]"},
      {"[18446744073709551615, -9223372036854775808]",
       "[18446744073709551615, -9223372036854775808]"},
      {R"(["\u00e9\u20ac\ud83d\ude00", "tab\tquote\"back\\slash/"])",
       R"(["\u00e9\u20ac\ud83d\ude00", "tab\tquote\"back\\slash/"])"},
      {R"(["\u0000\u001f\u007f"])", "[\"\\u0000\\u001f\x7f\"]"},
      {"true", "true"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(dump_json(parse_json(text, "x.json")), expected) << text;
  }
}

TEST(Json, IndentsAndSortsLikePython) {
  const Json value = parse_json(R"({"b":{"z":1,"é":2,"a":[]},"a":[1,{}]})", "x.json");
  EXPECT_EQ(dump_json(value, {.indent = 2, .sort_keys = true}),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"a\": [],\n    \"z\": 1,\n    "
            "\"\\u00e9\": 2\n  }\n}");
}

TEST(Json, KeepsTheLastOfRepeatedKeys) {
  EXPECT_EQ(dump_json(parse_json(R"({"a":1,"b":2,"a":3})", "x")), R"({"a": 3, "b": 2})");
}

TEST(Json, LeavesWordsInsideStringsAlone) {
  EXPECT_EQ(dump_json(parse_json(R"(["NaN -Infinity \" NaN"])", "x")),
            R"(["NaN -Infinity \" NaN"])");
}

TEST(Json, RejectsDeepNesting) {
  EXPECT_EQ(parse_error(std::string(200, '[') + std::string(200, ']')), ErrorCode::json_too_deep);
  EXPECT_EQ(parse_error(std::string(100'000, '[')), ErrorCode::json_too_deep);
}

TEST(Json, RejectsWhatIsNotJson) {
  for (const char* text : {"", "{", "{]", "{\"a\":}", "nope", "[1,]", "\"\xff\"", "[NaNx]"}) {
    EXPECT_EQ(parse_error(text), ErrorCode::json_syntax) << text;
  }
}

TEST(Json, NamesTheMissingKey) {
  try {
    require_string(parse_json(R"({"a":1})", "x"), "b", "config.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::json_type);
    EXPECT_STREQ(error.what(), "key 'b': expected a value, found nothing (config.json)");
  }
}

}  // namespace
}  // namespace ditq
