#pragma once
// Small documents as the commands write them, for tests of the report.

#include "report/report.h"

namespace ditq::test {

/// A comparison of `runs` runs of four steps with pictures' figures, a gate of three bars, settings, sides and versions.
/// Run i strays the farther the larger i is. Where `passed` is false, the bar on psnr is missed and run 0 has a defect.
Json comparison_document(int runs, bool passed = true);

/// A benchmark with stages, memory and clocks.
Json bench_document();

/// The doctor's report of `blocks` blocks of two quantized layers each, and one that equals the base.
Json doctor_document(int blocks);

/// The inspection of the same, with a norm.
Json inspect_document(int blocks);

/// A record of a validation.
Json record_document();

/// Two pictures of this size; the candidate's pixel (1, 1) differs by `distance` in green.
ReportPair pair_of_pictures(std::int64_t run,
                            std::int64_t width,
                            std::int64_t height,
                            int distance);

/// All of it, with pictures of 48 x 32.
ReportInput report_input(int runs, bool passed = true);

}  // namespace ditq::test
