// The search of `ditq tune` on networks that are formulas, its groups and patterns, and its log.

#include <cmath>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/regex.h"
#include "pipeline/confidence.h"
#include "pipeline/tune_groups.h"
#include "pipeline/tune_log.h"
#include "pipeline/tune_search.h"
#include "support/paths.h"

namespace ditq {
namespace {

using testing::ElementsAre;

LayerCosts layers() {
  LayerCosts out;
  for (const char* name : {"attn.to_q", "attn.to_k", "ff.net.0.proj"}) {
    for (const int block : {0, 1, 10}) {
      out["transformer_blocks." + std::to_string(block) + "." + name] = {.bytes = 100,
                                                                         .milliseconds = 1};
    }
  }
  out["proj_out"] = {.bytes = 7, .milliseconds = -1};
  return out;
}

TEST(TuneGroups, AreLayersKindsOrBlocks) {
  EXPECT_EQ(make_groups(layers(), Grouping::layer).size(), 10);
  const auto kinds = make_groups(layers(), Grouping::kind);
  ASSERT_EQ(kinds.size(), 4);
  EXPECT_EQ(kinds[0].name, "proj_out");
  EXPECT_EQ(kinds[1].name, "transformer_blocks.#.attn.to_k");
  EXPECT_EQ(kinds[1].cost.bytes, 300);
  const auto blocks = make_groups(layers(), Grouping::block);
  ASSERT_EQ(blocks.size(), 4);
  EXPECT_EQ(blocks[2].name, "transformer_blocks.1");
  EXPECT_EQ(blocks[2].modules.size(), 3);
}

TEST(TuneGroups, AutomaticGroupingFollowsTheNumberOfLayers) {
  EXPECT_EQ(parse_grouping("auto", 128), Grouping::layer);
  EXPECT_EQ(parse_grouping("auto", 129), Grouping::kind);
  EXPECT_THROW(parse_grouping("head", 1), Error);
}

TEST(TuneGroups, PatternsMatchExactlyWhatIsKept) {
  const LayerCosts all = layers();
  const std::set<std::string> kept = {
      "transformer_blocks.0.attn.to_q", "transformer_blocks.1.attn.to_q",
      "transformer_blocks.10.attn.to_q", "transformer_blocks.1.ff.net.0.proj", "proj_out"};
  const std::vector<std::string> patterns = patterns_of(kept, all);
  EXPECT_EQ(patterns.size(), 3);
  for (const auto& [module, cost] : all) {
    bool matched = false;
    for (const std::string& pattern : patterns) matched |= Regex(pattern).search(module);
    EXPECT_EQ(matched, kept.contains(module)) << module;
  }
  EXPECT_TRUE(patterns_of({}, all).empty());
}

/// Groups whose squared errors add.
SearchInput independent(std::size_t count, double bar) {
  SearchInput input{.groups = {}, .alone = {}, .bar = bar};
  for (std::size_t i = 0; i < count; ++i) {
    input.groups.push_back({.name = std::to_string(i),
                            .modules = {std::to_string(i)},
                            .cost = {.bytes = 10 + (i * 37) % 90, .milliseconds = 1}});
    input.alone.push_back(0.001 * static_cast<double>(1 + (i * 53) % 17));
  }
  return input;
}

double error_of(const SearchInput& input, const KeptGroups& kept, double factor) {
  double sum = 0;
  for (std::size_t i = 0; i < input.alone.size(); ++i) {
    if (!kept.contains(i)) sum += input.alone[i] * input.alone[i];
  }
  return std::sqrt(factor * sum);
}

/// The fewest bytes of all sets that meet the bar, by trying all of them.
std::uint64_t fewest_bytes(const SearchInput& input, double factor) {
  std::uint64_t best = ~std::uint64_t{0};
  for (std::size_t bits = 0; bits < (std::size_t{1} << input.groups.size()); ++bits) {
    KeptGroups kept;
    for (std::size_t i = 0; i < input.groups.size(); ++i) {
      if ((bits >> i & 1) != 0) kept.insert(i);
    }
    if (error_of(input, kept, factor) > input.bar) continue;
    best = std::min(best, cost_of(kept, input.groups).bytes);
  }
  return best;
}

TEST(TuneSearch, MeetsTheBarWithAlmostTheFewestBytes) {
  for (const double bar : {0.005, 0.01, 0.02, 0.03}) {
    for (const double factor : {0.5, 1.0, 2.0}) {  // errors that add up to less or more than alone
      const SearchInput input = independent(12, bar);
      const SearchResult found = search_smallest(
          input, [&](const KeptGroups& kept) { return error_of(input, kept, factor); });
      EXPECT_LE(found.best.error, bar);
      EXPECT_EQ(found.best.error, error_of(input, found.best.kept, factor));
      const std::uint64_t least = fewest_bytes(input, factor);
      // Single exchanges do not reach every optimum: at most one small group away.
      EXPECT_LE(cost_of(found.best.kept, input.groups).bytes, least + 20) << bar << " " << factor;
    }
  }
}

TEST(TuneSearch, KeepsNothingWhereNothingNeedsIt) {
  const SearchInput input = independent(8, 1.0);
  int runs = 0;
  const SearchResult found = search_smallest(input, [&](const KeptGroups& kept) {
    ++runs;
    return error_of(input, kept, 1);
  });
  EXPECT_TRUE(found.best.kept.empty());
  EXPECT_EQ(runs, 1);
}

TEST(TuneSearch, KeepsEverythingWhereItMust) {
  const SearchInput input = independent(8, 1e-9);
  const SearchResult found =
      search_smallest(input, [&](const KeptGroups& kept) { return error_of(input, kept, 1); });
  EXPECT_EQ(found.best.kept.size(), 8);
  EXPECT_EQ(found.best.error, 0);
}

TEST(TuneSearch, IsNotMisledByErrorsThatDoNotAdd) {
  // One group's error shows only while another one is quantized too.
  const SearchInput input = independent(10, 0.012);
  const auto measured = [&](const KeptGroups& kept) {
    const double more = kept.contains(2) || kept.contains(5) ? 0 : 0.05;
    return error_of(input, kept, 1) + more;
  };
  const SearchResult found = search_smallest(input, measured);
  EXPECT_LE(measured(found.best.kept), 0.012);
}

TEST(TuneSearch, StopsAfterItsRuns) {
  SearchInput input = independent(40, 0.01);
  input.most_runs = 9;
  std::size_t runs = 0;
  const SearchResult found = search_smallest(input, [&](const KeptGroups& kept) {
    ++runs;
    return error_of(input, kept, 1.3);
  });
  EXPECT_LE(runs, 9);
  EXPECT_LE(found.best.error, 0.01);
}

TEST(TuneSearch, AStrictBarIsNotMetByEquality) {
  SearchInput input = independent(3, 0);
  input.bar = error_of(input, {}, 1);
  const auto measured = [&](const KeptGroups& kept) { return error_of(input, kept, 1); };
  EXPECT_TRUE(search_smallest(input, measured).best.kept.empty());
  input.strict = true;
  EXPECT_FALSE(search_smallest(input, measured).best.kept.empty());
}

TEST(TuneLog, KeepsMeasurementsOfItsInputsOnly) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  TuneLog(path, "one").add("a", 1.5);
  TuneLog(path, "two").add("a", {{"x", 2}});
  TuneLog one(path, "one");
  EXPECT_EQ(one.known(), 1);
  ASSERT_NE(one.find("a"), nullptr);
  EXPECT_EQ(*one.find("a"), 1.5);
  EXPECT_EQ(one.find("b"), nullptr);
}

TEST(TuneLog, GoesOnBehindALineThatACrashCutShort) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  TuneLog(path, "one").add("a", 1);
  std::ofstream(path, std::ios::app) << R"({"inputs": "one", "key": "b", "va)";
  TuneLog(path, "one").add("c", 3);
  const TuneLog again(path, "one");
  EXPECT_EQ(again.known(), 2);
  EXPECT_EQ(*again.find("c"), 3);
}

TEST(TuneLog, RefusesAnotherKindOfFile) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "notes.txt";
  std::ofstream(path) << "my notes\nmore of them\n";
  try {
    TuneLog(path, "one");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
  }
}

TEST(Confidence, IsStudentsInterval) {
  EXPECT_EQ(confidence_95({3}), 0);
  // scipy.stats.t.interval(0.95, 3, loc=2.5, scale=scipy.stats.sem([1, 2, 3, 4]))
  EXPECT_NEAR(confidence_95({1, 2, 3, 4}), 2.0542602567605, 1e-3);
  std::vector<double> many;
  for (int i = 0; i < 100; ++i) many.push_back(i % 2);
  // scipy.stats.t.ppf(0.975, 99) * 0.5025189076296062 / 10
  EXPECT_NEAR(confidence_95(many), 1.9842169515 * 0.05025189076, 1e-4);
}

}  // namespace
}  // namespace ditq
