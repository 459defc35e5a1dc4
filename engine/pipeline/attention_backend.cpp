#include "pipeline/attention_backend.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

/// Names of attention backends that other engines have, refused by name.
constexpr std::array<std::string_view, 9> kOthers = {
    "fa",         "fa2",   "sage_attn", "sage_attn_3", "sliding_tile_attn", "video_sparse_attn",
    "vmoba_attn", "aiter", "flashinfer"};

struct Plain {
  std::string_view name;
  AttentionKernel kernel;
};
constexpr std::array kPlain{Plain{"ditq", AttentionKernel::own},
                            Plain{"cudnn", AttentionKernel::cudnn},
                            Plain{"torch_sdpa", AttentionKernel::torch}};

constexpr const char* kRangeForm = "FIRST:LAST as Python's slices, such as 1:-1, 2: or :";

/// An integer, or `absent` for no text. Errors: usage.
std::int64_t bound(std::string_view text, std::int64_t absent, const std::string& whole) {
  std::int64_t value = absent;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (!text.empty() && (error != std::errc() || stop != end)) {
    throw Error(ErrorCode::usage, "--fp8-attention-steps: not a range of steps",
                {.expected = kRangeForm, .found = "'" + whole + "'"});
  }
  return value;
}

}  // namespace

StepRange StepRange::parse(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) {
    throw Error(ErrorCode::usage, "--fp8-attention-steps: not a range of steps",
                {.expected = kRangeForm, .found = "'" + text + "'"});
  }
  const std::string_view all = text;
  return {.first = bound(all.substr(0, colon), 0, text),
          .last = bound(all.substr(colon + 1), 0, text),
          .open = colon + 1 == text.size()};
}

bool StepRange::contains(std::int64_t index, std::int64_t count) const {
  const auto from_start = [count](std::int64_t step) { return step < 0 ? step + count : step; };
  return index >= from_start(first) && (open || index < from_start(last));
}

std::string AttentionBackend::plain_name() const {
  return std::string(std::ranges::find(kPlain, plain, &Plain::kernel)->name);
}

AttentionBackend choose_attention_backend(const RunOptions& options, const AttentionHeads& heads) {
  AttentionBackend out{.plain = fastest_attention(heads),
                       .steps = StepRange::parse(options.fp8_attention_steps),
                       .range = options.fp8_attention_steps,
                       .kernel = heads.device.is_cuda() ? "cudnn" : "cpu_emulation"};
  const std::string& name = options.attention_backend;
  if (name == "fp8") {
    out.fp8 = true;
    return out;
  }
  if (name.empty() || name == "auto") return out;
  std::string expected = "auto, fp8";
  for (const Plain& backend : kPlain) {
    const std::string reason = why_not(backend.kernel, heads);
    if (reason.empty()) expected += fmt::format(", {}", backend.name);
    if (name != backend.name) continue;
    if (!reason.empty()) {
      throw Error(ErrorCode::unsupported,
                  fmt::format("--attention-backend {} does not run here", name),
                  {.found = reason,
                   .advice = fmt::format("auto takes {} on this device", out.plain_name())});
    }
    out.plain = backend.kernel;
    return out;
  }
  if (std::ranges::find(kOthers, name) == kOthers.end()) {
    throw Error(ErrorCode::usage, "unknown --attention-backend",
                {.expected = expected, .found = "'" + name + "'"});
  }
  throw Error(ErrorCode::unsupported, fmt::format("ditq has no --attention-backend {}", name),
              {.expected = expected});
}

Json fp8_attention_json(const AttentionBackend& backend, std::size_t steps) {
  if (!backend.fp8) return nullptr;
  const auto count = static_cast<std::int64_t>(steps);
  std::int64_t covered = 0;
  for (std::int64_t i = 0; i < count; ++i) covered += backend.steps.contains(i, count) ? 1 : 0;
  return {{"kernel", backend.kernel},
          {"arithmetic", backend.kernel == "cudnn" ? "real" : "emulated"},
          {"steps", backend.range},
          {"steps_run", covered},
          {"other_steps", backend.plain_name()}};
}

}  // namespace ditq
