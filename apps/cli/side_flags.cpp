#include "side_flags.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "generate_flags.h"
#include "model_path.h"
#include "side_sources.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

std::string dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

[[noreturn]] void refuse(const std::string& sentence, const std::string& found = "") {
  throw Error(ErrorCode::usage, sentence, {.found = found, .advice = "See 'ditq bench --help'"});
}

/// Where a component's checkpoint is, links followed.
std::string place_of(const PipelineSources& sources, const std::string& component) {
  const auto found = sources.components.find(component);
  const fs::path path = found == sources.components.end() ? fs::path(sources.model_path) / component
                                                          : fs::path(found->second);
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(fs::absolute(path), error);
  return (error ? path : canonical).string();
}

std::string weights_of(const PipelineSources& sources) {
  std::error_code error;
  const std::string& path = sources.transformer_weights_path;
  const fs::path canonical = path.empty() ? fs::path() : fs::weakly_canonical(path, error);
  return error ? path : canonical.string();
}

}  // namespace

SideFlags::SideFlags(Flags& flags, std::map<std::string, std::string>& shared)
    : flags_(flags),
      shared_(shared),
      reference_{.name = "reference", .components = {}, .weights_path = {}, .sources = {}},
      candidate_{.name = "candidate", .components = {}, .weights_path = {}, .sources = {}} {
  flags_.group("Form 2: two checkpoints; what may differ between them");
  declare(reference_);
  declare(candidate_);
  flags_.explain_unknown([this](const std::string& flag) { return why_refused(flag); });
}

void SideFlags::declare(Side& side) {
  flags_.add(side.name + "-component-path", side.components, "NAME=DIR",
             fmt::format("The {0}'s component, such as transformer=DIR; may be repeated; also "
                         "--{0}-transformer-path DIR, --{0}-vae-path DIR …",
                         side.name));
  flags_
      .add(side.name + "-transformer-weights-path", side.weights_path, "PATH",
           fmt::format("The {}'s transformer weights; its config stays the base's", side.name))
      .path();
}

std::string SideFlags::refusal(const std::string& side, const std::string& rest) const {
  const std::string shared = flags_.knows(rest)
                                 ? fmt::format("--{} is one for both", rest)
                                 : std::string("whatever else is given holds for both");
  return fmt::format(
      "--{0}-{1} is refused: the sides of a benchmark may differ in their checkpoints only, or "
      "their times say nothing about these; {2}. A side's own are --{0}-<component>-path, "
      "--{0}-component-path and --{0}-transformer-weights-path",
      side, rest, shared);
}

std::string SideFlags::why_refused(const std::string& flag) const {
  const std::string name = flag.starts_with("no-") ? flag.substr(3) : flag;
  for (const Side* side : {&reference_, &candidate_}) {
    if (name == side->name) {
      return fmt::format(
          "--{} is no flag of bench: two files are given without flags, 'ditq bench "
          "BASELINE CANDIDATE'",
          flag);
    }
    if (name.starts_with(side->name + "-")) {
      return refusal(side->name, name.substr(side->name.size() + 1));
    }
  }
  return {};
}

bool SideFlags::are_given() const {
  for (const Side* side : {&reference_, &candidate_}) {
    if (!side->components.empty() || !side->weights_path.empty()) return true;
    for (const auto& [name, path] : shared_) {
      if (name.starts_with(side->name + "_")) return true;
    }
  }
  return false;
}

void SideFlags::take_components(Side& side) {
  side.sources.components = take_side_components(side.name, side.components, shared_);
  side.sources.transformer_weights_path = side.weights_path;
  // Paths that are none of a component's, such as --candidate-model-path.
  static const std::set<std::string> kOthers = {"output-path", "output-file-path",
                                                "perf-dump-path"};
  for (const auto& [component, path] : side.sources.components) {
    const std::string flag = dashes(component) + "-path";
    if (flags_.knows(flag) || kOthers.contains(flag)) refuse(refusal(side.name, flag));
  }
}

void SideFlags::finish_side(Side& side, const PipelineSources& base) {
  const auto known = component_names(base.model_path);
  for (const auto& [component, path] : side.sources.components) {
    if (!known || std::find(known->begin(), known->end(), component) != known->end()) continue;
    refuse(fmt::format("{} (the pipeline has no component '{}')",
                       refusal(side.name, dashes(component) + "-path"), component));
  }
  side.sources = with_side(base, side.sources);
  resolve_sources(side.sources);
}

void SideFlags::finish(const PipelineSources& base) {
  take_components(reference_);
  take_components(candidate_);
  PipelineSources shared = base;
  shared.components = shared_;
  shared.model_path = resolve_model_path(base.model_path, "--model-path");
  finish_side(reference_, shared);
  finish_side(candidate_, shared);
}

std::vector<std::string> SideFlags::differing() const {
  std::set<std::string> names;
  for (const Side* side : {&reference_, &candidate_}) {
    for (const auto& [component, path] : side->sources.components) names.insert(component);
  }
  std::set<std::string> out;
  for (const std::string& name : names) {
    if (place_of(reference_.sources, name) != place_of(candidate_.sources, name)) out.insert(name);
  }
  if (weights_of(reference_.sources) != weights_of(candidate_.sources)) out.insert("transformer");
  return {out.begin(), out.end()};
}

}  // namespace ditq
