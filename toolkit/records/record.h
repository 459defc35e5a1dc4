#pragma once
// What was validated, exactly: docs/support/records/*.json, the only source of the support matrix (docs/validate.md). A
// record says what was run and what came out; whether that is enough is worked out anew by whoever reads it.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "records/bars.h"

namespace ditq {

/// The version of the records' form.
inline constexpr std::int64_t kRecordForm = 1;

/// A file that was validated, known by its content.
struct RecordedFile {
  std::string name;  ///< relative to its component's folder
  std::uint64_t bytes = 0;
  std::string sha256;  ///< 64 lower-case hexadecimal digits
};

/// What a validation covers, and nothing beyond it.
struct ValidationScope {
  std::vector<std::string> components;  ///< those that differ from the baseline: "transformer"
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t num_frames = 1;
  std::int64_t num_inference_steps = 0;
  std::int64_t prompts = 0;
  std::int64_t runs = 0;  ///< pictures compared: prompts times seeds
  std::string dtype;
  std::string device;      ///< a model's name, such as "NVIDIA H200"
  std::string arithmetic;  ///< "real", or "emulated" where any quantized layer's is
};

/// The speed of the candidate against the baseline's, measured in one run.
struct ValidationSpeed {
  double denoise = 0;  ///< baseline's median over the candidate's
  double low = 0;      ///< its interval
  double high = 0;
};

struct Validation {
  std::string date;     ///< "2026-11-23"
  std::string case_id;  ///< of cases.json; empty: none
  std::string against;  ///< "bf16 baseline", or "ground truth"
  ValidationScope scope;
  std::vector<Bar> thresholds;
  std::map<std::string, double> results;  ///< by the bars' metrics, and more
  std::vector<std::string>
      findings;  ///< what doctor or the pictures showed that must not be; empty: nothing
  std::optional<ValidationSpeed> speed;
  std::vector<RecordedFile> checkpoint;
  std::vector<RecordedFile> baseline;
  std::string ditq;      ///< version
  std::string libtorch;  ///< version
  std::vector<std::string> commands;
};

/// One row of the support matrix.
struct SupportRecord {
  std::string path;       ///< the file it was read from
  std::string algorithm;  ///< "FP8" or "NVFP4"
  std::string base_model;
  std::string family;      ///< "flux1"
  std::string repository;  ///< of the quantized weights; empty: unpublished
  std::string flag;        ///< how it is loaded: "--transformer-path"
  std::string documented;  ///< the scope that its publisher states; empty: none
  std::vector<std::string> caveats;
  std::optional<Validation> validation;  ///< none: not validated here
};

/// Why a record's validation does not hold: one sentence for each bar that was missed and each finding. Empty: it holds.
std::vector<std::string> shortfalls(const Validation& validation);

/// Reads a record and refuses one that claims more than it shows: thresholds without results, no thresholds, no file
/// hashes, no scope.
/// Errors: as read_json; json_type.
SupportRecord read_record(const std::string& path);
SupportRecord parse_record(const Json& document, const std::string& path);

/// The document that read_record reads.
Json to_json(const SupportRecord& record);

/// All *.json files of a folder, in the order of their names. Errors: as read_record; file_not_found.
std::vector<SupportRecord> read_records(const std::string& folder);

}  // namespace ditq
