#pragma once
// What `ditq tune` measures of a set of layers: the prediction's error, pictures, and what layers take.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/noise_error.h"
#include "pipeline/pipeline.h"
#include "pipeline/tune_groups.h"
#include "pipeline/tune_log.h"

namespace ditq {

/// What was measured of one set.
struct SetQuality {
  double noise_l2 = 0;
  double confidence = 0;  ///< half the width of the 95 % interval of noise_l2
  double worst_cosine = 1;
  std::optional<double>
      psnr_db;                 ///< mean over free-running pictures; equal ones count as kMostPsnr
  double psnr_confidence = 0;  ///< half the width of its 95 % interval
};
inline constexpr double kMostPsnr = 100;

/// {"noise_l2", "noise_l2_confidence", "worst_cosine", "psnr_db", "psnr_confidence"}.
Json to_json(const SetQuality& quality);

/// A pipeline of two weights with its baseline recorded.
class SetMeasurer {
 public:
  /// Loads, and records the baseline's runs. Errors: as tune.
  SetMeasurer(const TuneRequest& request, TuneLog& log);

  /// Bytes and time of every layer that can be switched. Times: the fastest call of each, times its calls in a picture;
  /// 0 on a GPU, where they are not measured.
  const LayerCosts& costs() const { return costs_; }
  /// Stored bytes of those layers, all quantized, and in full precision.
  std::uint64_t quantized_bytes() const { return quantized_bytes_; }
  std::uint64_t plain_bytes() const { return plain_bytes_; }
  /// Milliseconds of those layers in one picture, all quantized.
  double quantized_ms() const { return quantized_ms_; }
  const PipelineDescription& description() const { return pair_.pipeline->description(); }
  std::size_t prompts() const { return baseline_.size(); }
  std::int64_t steps() const { return baseline_.front().request.steps; }

  /// The set of kept layers, measured or read from the log.
  SetQuality measure(const std::set<std::string>& kept);

 private:
  void read_costs();
  NoiseError run(const std::set<std::string>& kept);
  void add_pictures(SetQuality& quality);

  const TuneRequest& request_;
  TuneLog& log_;
  SwitchedPipeline pair_;
  std::vector<NoiseBaseline> baseline_;
  LayerCosts costs_;
  std::uint64_t quantized_bytes_ = 0;
  std::uint64_t plain_bytes_ = 0;
  double quantized_ms_ = 0;
};

/// What the measurements depend on: the files of both pipelines (names, sizes, times of change), prompts, sampling, device.
std::string tune_fingerprint(const TuneRequest& request);

}  // namespace ditq
