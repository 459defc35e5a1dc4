#include "pipeline/fair_trajectories.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "tensor/tensor.h"

namespace ditq {
namespace {

/// What is compared, or follows from it: the sides may differ here.
constexpr std::array<std::string_view, 5> kFree{"model_path", "dtype", "component_paths",
                                                "transformer_weights_path", "transformer_path"};

/// Keys that stand by themselves in the metadata of files without a `request`.
constexpr std::array<std::string_view, 12> kSingle{"prompt",
                                                   "negative_prompt",
                                                   "seed",
                                                   "width",
                                                   "height",
                                                   "num_frames",
                                                   "guidance_scale",
                                                   "num_inference_steps",
                                                   "true_cfg_scale",
                                                   "generator_device",
                                                   "max_sequence_length",
                                                   "attention_backend"};

bool is_free(const std::string& key) {
  return std::find(kFree.begin(), kFree.end(), key) != kFree.end();
}

/// A number where the whole text is one.
Json value_of(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) {
    std::int64_t whole = 0;
    const auto [last, failed] = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (failed == std::errc() && last == end) return whole;
    return number;
  }
  return text;
}

const std::string* find_entry(const SafetensorsFile& file, std::string_view key) {
  const auto found = file.metadata.find(std::string(key));
  return found == file.metadata.end() ? nullptr : &found->second;
}

bool same_value(const Json& a, const Json& b) {
  // 3.5 and 3.5, but also 4 and 4.0.
  if (a.is_number() && b.is_number()) {
    return a.is_number_float() || b.is_number_float() ? a.get<double>() == b.get<double>() : a == b;
  }
  return a == b;
}

std::vector<std::string> differences(const Json& reference, const Json& candidate) {
  std::vector<std::string> out;
  for (const auto& [key, value] : reference.items()) {
    if (is_free(key) || !candidate.contains(key) || same_value(value, candidate[key])) continue;
    out.push_back(
        fmt::format("{}: {} against {}", key, dump_json(value), dump_json(candidate[key])));
  }
  return out;
}

/// Keys of one side that the other does not state.
std::vector<std::string> unknown_keys(const Json& stated, const Json& other) {
  std::vector<std::string> out;
  for (const auto& [key, value] : stated.items()) {
    if (!is_free(key) && !other.contains(key)) out.push_back(key);
  }
  return out;
}

/// Latents that a run began with; nothing where the file has none.
std::optional<Tensor> initial_latents(const SafetensorsFile& file) {
  const TensorInfo* info = file.find("initial_latents");
  if (info == nullptr) return std::nullopt;
  return from_file(*info);
}

/// Equal requests draw equal noise, where they draw it in one dtype; files of latents may differ all the same.
bool began_alike(const SafetensorsFile& reference, const SafetensorsFile& candidate) {
  const auto ours = initial_latents(reference);
  const auto theirs = initial_latents(candidate);
  if (!ours || !theirs || ours->scalar_type() != theirs->scalar_type()) return true;
  const Bytes a = bytes_of(*ours);
  const Bytes b = bytes_of(*theirs);
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

[[noreturn]] void refuse(const SafetensorsFile& reference,
                         const SafetensorsFile& candidate,
                         const std::vector<std::string>& problems) {
  throw Error(ErrorCode::unfair, "reference and candidate answer different requests",
              {.path = candidate.path,
               .expected = "the request of " + reference.path,
               .found = fmt::format("{}", fmt::join(problems, "; ")),
               .advice = "Checkpoints and dtype may differ, nothing else"});
}

void warn_unknown(const SafetensorsFile& file, const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  log_warning(fmt::format("{} does not state {}: whether the pair is fair in that is unknown",
                          file.path, fmt::join(keys, ", ")));
}

}  // namespace

std::optional<Json> recorded_request(const SafetensorsFile& file) {
  if (const std::string* text = find_entry(file, "request")) {
    Json request = parse_json(*text, file.path);
    if (!request.is_object()) {
      throw Error(ErrorCode::json_type, "the metadata's request is no object", {.path = file.path});
    }
    return request;
  }
  Json out = Json::object();
  for (const std::string_view key : kSingle) {
    const std::string* text = find_entry(file, key);
    if (text == nullptr && key == "guidance_scale") text = find_entry(file, "guidance");
    if (text == nullptr) continue;
    const bool words = key == "prompt" || key == "negative_prompt";
    out[std::string(key)] = words ? Json(*text) : value_of(*text);
  }
  if (out.empty()) return std::nullopt;
  return out;
}

Json require_fair(const SafetensorsFile& reference, const SafetensorsFile& candidate) {
  const auto ours = recorded_request(reference);
  const auto theirs = recorded_request(candidate);
  if (!ours || !theirs) {
    log_warning(fmt::format("{} does not state its request: whether the pair is fair is unknown",
                            ours ? candidate.path : reference.path));
    return Json::object();
  }
  std::vector<std::string> problems = differences(*ours, *theirs);
  if (problems.empty() && !began_alike(reference, candidate)) {
    problems.emplace_back("initial_latents: the two tensors hold different values");
  }
  if (!problems.empty()) refuse(reference, candidate, problems);
  warn_unknown(candidate, unknown_keys(*ours, *theirs));
  warn_unknown(reference, unknown_keys(*theirs, *ours));
  Json shared = Json::object();
  for (const auto& [key, value] : ours->items()) {
    if (theirs->contains(key) && same_value(value, (*theirs)[key])) shared[key] = value;
  }
  return shared;
}

}  // namespace ditq
