#pragma once
// The HTML report of a comparison that has just been made.

#include <string>

#include "pipeline/engine.h"

namespace ditq {

/// Raises when the folder of an output file is not there, so that it is known before hours of work; empty: no output.
/// Errors: storage.
void require_folder_of(const std::string& file);

/// Writes the page (report/report.h). Where two checkpoints were compared and their transformers differ, the candidate's is
/// examined against the reference's, layer by layer; what keeps that from being done is a warning, and missing on the page.
/// Errors: storage.
void write_compare_report(const std::string& file,
                          const CompareRequest& request,
                          const CompareResult& result);

}  // namespace ditq
