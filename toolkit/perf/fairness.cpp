#include "perf/fairness.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace ditq {
namespace {

std::string joined(const std::string& prefix, const std::string& key) {
  return prefix.empty() ? key : prefix + "." + key;
}

/// Names of all values below one.
void list_leaves(const Json& value, const std::string& name, std::vector<std::string>& out) {
  if (!value.is_object()) {
    out.push_back(name);
    return;
  }
  for (const auto& [key, member] : value.items()) list_leaves(member, joined(name, key), out);
}

void walk(const Json& baseline, const Json& candidate, const std::string& name, Fairness& out) {
  if (!baseline.is_object() || !candidate.is_object()) {
    if (baseline == candidate)
      out.equal.push_back(name);
    else
      out.differences.push_back({.name = name, .baseline = baseline, .candidate = candidate});
    return;
  }
  for (const auto& [key, value] : baseline.items()) {
    const auto other = candidate.find(key);
    if (other == candidate.end())
      list_leaves(value, joined(name, key), out.only_baseline);
    else
      walk(value, *other, joined(name, key), out);
  }
  for (const auto& [key, value] : candidate.items()) {
    if (!baseline.contains(key)) list_leaves(value, joined(name, key), out.only_candidate);
  }
}

/// The settings, and beside them what the measurements themselves say.
Json known(const PerfFile& file) {
  Json out = file.settings;
  const auto steps = file.measured_steps();
  if (!steps) return out;
  out["measured_steps"] = *steps;
  if (!out.contains("num_inference_steps")) out["num_inference_steps"] = *steps;
  return out;
}

std::string value_text(const Json& value) {
  constexpr std::size_t kShown = 120;
  const std::string text = dump_json(value);
  return text.size() <= kShown ? text : text.substr(0, kShown) + "…";
}

}  // namespace

Fairness judge_fairness(const PerfFile& baseline, const PerfFile& candidate) {
  Fairness out;
  walk(known(baseline), known(candidate), "", out);
  // The files' own orders may differ; what is said of a pair does not.
  std::sort(out.only_baseline.begin(), out.only_baseline.end());
  std::sort(out.only_candidate.begin(), out.only_candidate.end());
  return out;
}

std::string to_sentence(const UnfairSetting& difference) {
  return fmt::format("{} is {} against {}", difference.name, value_text(difference.baseline),
                     value_text(difference.candidate));
}

void require_fair(const PerfFile& baseline, const PerfFile& candidate) {
  const Fairness fairness = judge_fairness(baseline, candidate);
  if (fairness.is_fair()) return;
  std::vector<std::string> sentences;
  for (const UnfairSetting& one : fairness.differences) sentences.push_back(to_sentence(one));
  throw Error(ErrorCode::unfair,
              fmt::format("these runs differ in more than the checkpoint, so that nothing follows "
                          "from comparing them: {}",
                          fmt::join(sentences, "; ")),
              {.path = fmt::format("{} against {}", baseline.path, candidate.path),
               .advice = "'ditq bench --model-path …' runs both sides with equal settings"});
}

Json to_json(const Fairness& fairness) {
  Json differences = Json::array();
  for (const UnfairSetting& one : fairness.differences) {
    differences.push_back(
        {{"setting", one.name}, {"baseline", one.baseline}, {"candidate", one.candidate}});
  }
  return {{"fair", fairness.is_fair()},
          {"differences", differences},
          {"equal", fairness.equal},
          {"known_to_baseline_only", fairness.only_baseline},
          {"known_to_candidate_only", fairness.only_candidate}};
}

}  // namespace ditq
