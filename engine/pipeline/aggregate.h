#pragma once
// What many runs say together: worst case and mean with its confidence interval, metric by metric.

#include "base/json.h"
#include "pipeline/measurements.h"

namespace ditq {

/// {"cosine": {"mean", "confidence_95", "worst", "worst_run", "worst_step", "runs"}, "last.cosine": …, "psnr": {…,
/// "worst_frame"}, …}: of every metric that was measured, and of those of steps also the last step's. A run counts with
/// its worst step or frame. confidence_95: half the width of the mean's interval; null for one run, and where a value is
/// not finite.
Json aggregate_json(const Measurements& measured);

}  // namespace ditq
