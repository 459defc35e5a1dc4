#pragma once
// perf.json: what one generation took, as SGLang's --perf-dump-path and ditq's write it.
// Source: SGLang bridge reference 7.2 and 7.3.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace ditq {

/// Most entries of `steps`, of `denoise_steps_ms` and of `memory_checkpoints`; longest name of one, in bytes.
inline constexpr std::size_t kMaxPerfEntries = 100'000;
inline constexpr std::size_t kMaxPerfName = 4096;

/// The row that entries called denoising_step_<n>, which old dumps have among their stages, are summed into.
inline constexpr const char* kDenoisingLoop = "Denoising Loop";

/// One stage of the pipeline; entries of one name are summed.
struct PerfStage {
  std::string name;
  double milliseconds = 0;
  std::size_t entries = 1;  ///< how many were summed
};

/// One run.
struct PerfFile {
  std::string path;
  std::string tag;          ///< such as "cli_generate"; empty where the file has none
  std::string commit_hash;  ///< likewise
  std::string model;        ///< meta.model: the pipeline's folder or repository
  double total_ms = 0;
  std::vector<PerfStage> stages;           ///< in order of their first entry
  std::vector<double> denoise_steps_ms;    ///< in the file's order
  std::optional<double> peak_reserved_mb;  ///< the highest of all memory checkpoints
  /// What the file says about how the run was made, under ditq's names (perf_settings.h).
  Json settings = Json::object();

  /// Steps that were measured: denoise_steps_ms, or the entries of the denoising loop; nothing where there are neither.
  std::optional<std::size_t> measured_steps() const;
};

/// Reads a file. Errors: those of read_json and parse_perf.
PerfFile read_perf(const std::string& path);

/// Checks a document that `path` names in errors. Keys that are not known are left alone.
/// Errors: json_type, naming the key (a value of another type, a duration that is negative or not finite, a required
/// key that is missing, more entries or longer names than the limits); bad_config for a file whose settings contradict
/// each other, and for a run of SGLang that fell back to its diffusers backend.
PerfFile parse_perf(const Json& document, const std::string& path);

}  // namespace ditq
