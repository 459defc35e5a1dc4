#pragma once
// `ditq tune`: which layers of a quantized transformer have to stay in full precision for a stated error.

#include "pipeline/engine.h"

namespace ditq {

/// Loads one transformer with both weights in its layers, measures every group of layers alone, then named sets, sets
/// along the frontier of error against bytes, and searches for the smallest set that meets the bar (tune_search.h). Every
/// error that is reported is measured, none is predicted.
/// Errors: usage (bar, grouping, counts, no prompt), not_quantized (a candidate without a quantized layer),
/// those of load_pipeline, of the log and of the runs.
TuneResult tune(const TuneRequest& request);

}  // namespace ditq
