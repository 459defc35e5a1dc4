#pragma once
// The support matrix: one row a record, each claiming exactly the scope of its record.

#include <string>
#include <vector>

#include "records/record.h"

namespace ditq {

/// What a row may say of its validation.
enum class SupportState { validated, failed, not_validated };

/// "validated", "failed" or "not validated here".
const char* name_of(SupportState state);

/// Worked out from thresholds, results and findings.
SupportState state_of(const SupportRecord& record);

/// "1024 x 1024, 20 steps, transformer, 3 pictures, bf16, NVIDIA H200"; empty where nothing was validated.
std::string scope_text(const SupportRecord& record);

/// {"rows": [...]}: every record with its state and, where it failed, why.
Json matrix_json(const std::vector<SupportRecord>& records);

/// A page of Markdown. Validated rows come first, then failed ones, then the others; within them by algorithm and
/// base model.
std::string matrix_markdown(const std::vector<SupportRecord>& records);

/// The order of the page.
std::vector<SupportRecord> sorted_for_matrix(std::vector<SupportRecord> records);

}  // namespace ditq
