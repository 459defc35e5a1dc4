#pragma once
// `ditq bench`: two sides that differ in checkpoints only, timed in turn on one machine.

#include <cstdint>
#include <vector>

#include "pipeline/engine.h"

namespace ditq {

/// Whose turn it is.
enum class BenchSideName { reference, candidate };

/// The visits of `rounds` rounds: A B B A, A B B A, … A machine that slows down steadily costs both sides the same.
std::vector<BenchSideName> bench_order(std::int64_t rounds);

/// Runs both sides in turn, measures, and writes perf.json files and the report where they were asked for.
///
/// A side is loaded alone, so that its peak of memory is its own; visits that follow each other share one load. What the
/// request leaves open is resolved by the reference and then holds for both. Every visit makes its warm-up runs and its
/// measured runs, each one picture of the request's prompt and seed. That both sides ran with equal settings is checked
/// on their perf.json as for any two files.
///
/// Errors: usage (counts, prompts), unfair (where a side ran otherwise), storage, and those of load_pipeline and
/// run_generations.
/// Source: SGLang bridge reference 7.3 and 7.4.
BenchResult bench(const BenchRequest& request);

}  // namespace ditq
