#pragma once
// Whose attention a run's transformer uses, and in which of its steps.

#include <cstdint>
#include <string>

#include "base/json.h"
#include "ops/joint_attention.h"
#include "pipeline/engine.h"
#include "tensor/tensor.h"

namespace ditq {

/// Steps as Python's slices name them: "1:-1" are all but the first and the last.
struct StepRange {
  std::int64_t first = 0;  ///< below 0: counted from the end
  std::int64_t last = 0;   ///< the first one behind the range; as above
  bool open = false;       ///< there is no last one: to the end

  /// Errors: usage.
  static StepRange parse(const std::string& text);
  /// Whether step `index` of `count` lies in the range.
  bool contains(std::int64_t index, std::int64_t count) const;
};

/// A choice and its outcome.
struct AttentionBackend {
  AttentionKernel plain = AttentionKernel::torch;  ///< what attends in the run's dtype
  bool fp8 = false;                                ///< E4M3 codes in `steps`
  StepRange steps;
  std::string range;   ///< `steps` as it was given
  std::string kernel;  ///< of FP8 attention: "cudnn" or "cpu_emulation"

  /// "ditq", "cudnn" or "torch_sdpa".
  std::string plain_name() const;
  /// For perf.json's attention_backend: "fp8", or the plain one.
  std::string name() const { return fp8 ? "fp8" : plain_name(); }
};

/// --attention-backend and --fp8-attention-steps for a network's heads. Errors: usage for a name or a range that is none,
/// unsupported for a backend, SGLang's among them, that does not run here.
AttentionBackend choose_attention_backend(const RunOptions& options, const AttentionHeads& heads);

/// For perf.json, of a run of `steps` steps: kernel, steps and how many ran so; null without FP8 attention.
Json fp8_attention_json(const AttentionBackend& backend, std::size_t steps);

}  // namespace ditq
