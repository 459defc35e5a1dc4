#pragma once
// What an examination of a checkpoint gives, as data.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace ditq {

/// How bad a finding is.
enum class Severity {
  problem,  ///< the checkpoint is damaged, mislabelled or not of this base: exit code 1
  note,     ///< worth knowing, maybe intended
};

/// One thing that was found, about one or several layers.
struct Finding {
  std::string kind;  ///< a stable word for programs, such as "nibble_order"
  Severity severity = Severity::problem;
  std::string message;  ///< one sentence
  std::vector<std::string>
      layers;  ///< module names in the diffusers dialect; empty: the whole checkpoint
  std::optional<double>
      error;  ///< relative L2 distance from the base as stored, mean over the layers
  std::optional<double> error_after;  ///< and after what the message proposes
  std::string advice;                 ///< what to do about it
};

/// A layer and how far it is from the base.
struct ExaminedLayer {
  std::string name;    ///< module in the diffusers dialect
  std::string stored;  ///< "NVFP4", "F8_E4M3", "BF16", …
  std::optional<double>
      error;  ///< relative L2 distance from the base's weight; nothing without a base
  bool equals_base = false;  ///< bit for bit
};

/// What a machine brings for running quantized weights.
struct MachineReport {
  std::string cpu;  ///< model name
  std::vector<std::string>
      units;  ///< instructions that products may use: "amx_bf16", "avx512_bf16", …
  std::vector<std::string> gpus;        ///< names, as the driver lists them
  std::uint64_t memory = 0;             ///< bytes available now; 0: unknown
  std::vector<std::string> statements;  ///< what runs here, and how
};

/// Everything that was looked at.
struct DoctorReport {
  std::string path;
  std::string base;    ///< empty: none given
  std::string family;  ///< empty: unknown
  std::string title;   ///< the family's, for people
  std::string dialect;
  std::string scheme;                 ///< "bf16", "fp8", "nvfp4"
  std::vector<std::string> reasons;   ///< how it is read
  std::vector<ExaminedLayer> layers;  ///< modules with a weight
  std::vector<Finding> findings;      ///< problems first
  std::vector<std::string> verified;  ///< files whose checksums were found right
  MachineReport machine;

  /// Whether some finding is a problem.
  bool has_problems() const;
};

/// The report as a document.
Json to_json(const DoctorReport& report);

}  // namespace ditq
