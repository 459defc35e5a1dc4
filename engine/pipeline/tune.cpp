#include "pipeline/tune.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/regex.h"
#include "convert/name_variants.h"
#include "family/registry.h"
#include "pipeline/output_place.h"
#include "pipeline/requirements.h"
#include "pipeline/tune_measure.h"
#include "pipeline/tune_search.h"

namespace ditq {
namespace {

/// The one bar of --require. Errors: usage.
Requirement bar_of(const TuneRequest& request) {
  const auto bars = parse_requirements(request.require, {.noise = true});
  const bool good = bars.size() == 1 && bars.front().op[0] == '<' && bars.front().bar > 0;
  if (good) return bars.front();
  throw Error(ErrorCode::usage, "--require takes one bar above zero here",
              {.expected = "such as noise_l2<=0.03", .found = "'" + request.require + "'"});
}

void check_counts(const TuneRequest& request) {
  const auto at_least = [](const char* flag, std::int64_t value, std::int64_t least) {
    if (value >= least) return;
    throw Error(ErrorCode::usage, fmt::format("{} is out of range", flag),
                {.expected = fmt::format("at least {}", least), .found = std::to_string(value)});
  };
  at_least("--psnr-prompts", request.psnr_prompts, 0);
  at_least("--frontier-points", request.frontier_points, 2);
  at_least("--max-search-runs", request.max_search_runs, 1);
}

class Tuner {
 public:
  explicit Tuner(const TuneRequest& request)
      : request_(request),
        bar_(bar_of(request)),
        log_(request.log_file, tune_fingerprint(request)),
        measurer_(request, log_) {
    if (log_.known() > 0) log_info(fmt::format("{} measurements are known already", log_.known()));
    input_.groups =
        make_groups(measurer_.costs(), parse_grouping(request.group_by, measurer_.costs().size()));
    input_.bar = bar_.bar;
    input_.strict = bar_.op == "<";
    input_.most_runs = static_cast<std::size_t>(request.max_search_runs);
  }

  TuneResult run() {
    Json groups = measure_groups();
    Json sets = Json::array();
    sets.push_back(row("nothing kept", {}));
    add_family_sets(sets);
    Json frontier = measure_frontier();
    const std::set<std::string> chosen = search();
    const Json best = row("chosen", chosen);
    TuneResult out{.report = {}, .patterns = patterns_of(chosen, measurer_.costs())};
    out.report = {{"family", measurer_.description().family},
                  {"scheme", request_.candidate.components.empty()
                                 ? request_.candidate.transformer_weights_path
                                 : request_.candidate.components.begin()->second},
                  {"device", measurer_.description().device},
                  {"prompts", measurer_.prompts()},
                  {"steps", measurer_.steps()},
                  {"require", bar_.name() + bar_.op + fmt::format("{}", bar_.bar)},
                  {"layers", measurer_.costs().size()},
                  {"quantized_bytes", measurer_.quantized_bytes()},
                  {"plain_bytes", measurer_.plain_bytes()},
                  {"groups", std::move(groups)},
                  {"sets", std::move(sets)},
                  {"frontier", std::move(frontier)},
                  {"chosen", best},
                  {"patterns", out.patterns}};
    return out;
  }

 private:
  std::set<std::string> modules_of(const KeptGroups& kept) const {
    std::set<std::string> modules;
    for (const std::size_t group : kept) {
      modules.insert(input_.groups[group].modules.begin(), input_.groups[group].modules.end());
    }
    return modules;
  }

  std::set<std::string> all_modules() const {
    std::set<std::string> modules;
    for (const auto& [module, cost] : measurer_.costs()) modules.insert(module);
    return modules;
  }

  /// A measured set as a row of a table.
  Json row(const std::string& name, const std::set<std::string>& kept) {
    LayerCost cost;
    for (const std::string& module : kept) {
      cost.bytes += measurer_.costs().at(module).bytes;
      cost.milliseconds += measurer_.costs().at(module).milliseconds;
    }
    const SetQuality quality = measurer_.measure(kept);
    Json out = {{"name", name},
                {"kept_layers", kept.size()},
                {"kept_bytes", cost.bytes},
                {"layer_bytes", measurer_.quantized_bytes() + cost.bytes},
                {"layer_ms", measurer_.quantized_ms() + cost.milliseconds}};
    out.update(to_json(quality));
    log_info(fmt::format("{}: {} layers kept, {} bytes, noise_l2 {:.5f}", name, kept.size(),
                         cost.bytes, quality.noise_l2));
    return out;
  }

  /// Every group quantized alone.
  Json measure_groups() {
    Json out = Json::array();
    ProgressBar progress("groups", input_.groups.size(), "group");
    for (const TuneGroup& group : input_.groups) {
      std::set<std::string> kept = all_modules();
      for (const std::string& module : group.modules) kept.erase(module);
      const SetQuality quality = measurer_.measure(kept);
      input_.alone.push_back(quality.noise_l2);
      Json entry = {{"name", group.name},
                    {"layers", group.modules.size()},
                    {"bytes", group.cost.bytes},
                    {"milliseconds", group.cost.milliseconds}};
      entry.update(to_json(quality));
      out.push_back(std::move(entry));
      progress.advance();
    }
    progress.finish();
    return out;
  }

  /// Layers that a family's fallback patterns keep.
  std::set<std::string> matched(const std::vector<std::string>& patterns,
                                const NameVariants& variants) const {
    std::vector<Regex> compiled;
    for (const std::string& pattern : patterns) compiled.emplace_back(pattern);
    std::set<std::string> kept;
    for (const auto& [module, cost] : measurer_.costs()) {
      for (const std::string& name : variants.of(module + ".weight")) {
        const auto hits = [&](const Regex& regex) { return regex.search(name); };
        if (std::any_of(compiled.begin(), compiled.end(), hits)) kept.insert(module);
      }
    }
    return kept;
  }

  /// The published sets, and the best of the search's order that takes no more bytes than each.
  void add_family_sets(Json& sets) {
    const FamilySpec* family = find_family(measurer_.description().family);
    if (family == nullptr) return;
    const NameVariants variants(family->runtime_names);
    const auto add = [&](const std::string& name, const std::vector<std::string>& patterns) {
      if (patterns.empty()) return;
      const std::set<std::string> kept = matched(patterns, variants);
      sets.push_back(row(name, kept));
      const std::uint64_t bytes = sets.back()["kept_bytes"].get<std::uint64_t>();
      sets.push_back(row("tuned, bytes of " + name, within(bytes)));
      sets.back()["patterns"] = patterns_of(within(bytes), measurer_.costs());
    };
    add("documented", family->fp8_fallback_documented);
    add("upstream", family->fp8_fallback);
  }

  /// Groups in the greedy order as long as they fit.
  std::set<std::string> within(std::uint64_t bytes) const {
    KeptGroups kept;
    for (const std::size_t group : greedy_order(input_)) {
      if (input_.groups[group].cost.bytes > bytes) continue;
      bytes -= input_.groups[group].cost.bytes;
      kept.insert(group);
    }
    return modules_of(kept);
  }

  /// Sets along the greedy order, from nothing kept to all but some, spaced evenly in bytes.
  Json measure_frontier() {
    const std::vector<std::size_t> order = greedy_order(input_);
    const std::uint64_t all = measurer_.plain_bytes() - measurer_.quantized_bytes();
    Json out = Json::array();
    KeptGroups kept;
    std::uint64_t bytes = 0;
    std::size_t next = 0;
    ProgressBar progress("frontier", static_cast<std::uint64_t>(request_.frontier_points), "set");
    for (std::int64_t point = 0; point < request_.frontier_points; ++point) {
      const auto share = static_cast<double>(point) / static_cast<double>(request_.frontier_points);
      const std::size_t before = kept.size();
      while (next < order.size() && static_cast<double>(bytes) < share * static_cast<double>(all)) {
        bytes += input_.groups[order[next]].cost.bytes;
        kept.insert(order[next++]);
      }
      progress.advance();
      if (point > 0 && (kept.size() == before || next == order.size())) continue;
      out.push_back(row(fmt::format("greedy {}", kept.size()), modules_of(kept)));
    }
    progress.finish();
    return out;
  }

  std::set<std::string> search() {
    const SearchResult found = search_smallest(input_, [this](const KeptGroups& kept) {
      const double error = measurer_.measure(modules_of(kept)).noise_l2;
      log_info(fmt::format("search: {} groups, {} bytes: noise_l2 {:.5f}", kept.size(),
                           cost_of(kept, input_.groups).bytes, error));
      return error;
    });
    return modules_of(found.best.kept);
  }

  const TuneRequest& request_;
  Requirement bar_;
  TuneLog log_;
  SetMeasurer measurer_;
  SearchInput input_;
};

}  // namespace

TuneResult tune(const TuneRequest& request) {
  bar_of(request);
  check_counts(request);
  parse_grouping(request.group_by, 0);
  require_writable_file(request.log_file);
  return Tuner(request).run();
}

}  // namespace ditq
