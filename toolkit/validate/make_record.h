#pragma once
// From the files that the stages of a validation left to its record.

#include <string>
#include <vector>

#include "validate/plan.h"

namespace ditq {

/// Where the documents are; an empty path: that stage was not asked for.
struct RecordSources {
  std::string baseline;  ///< documents of the commands that their names say
  std::string compare;
  std::string consistency;
  std::string doctor;
  std::string bench;
  std::map<std::string, std::string> candidate;  ///< component to folder or file
  std::vector<std::string> commands;
};

/// What a comparison's gate found: bars that were missed and defects, one sentence each.
std::vector<std::string> gate_shortfalls(const Json& comparison, const std::string& path);
/// The problems of an examination, one sentence each.
std::vector<std::string> doctor_problems(const Json& report, const std::string& path);
/// One sentence when the examined transformer is quantized, which a baseline must not be.
std::vector<std::string> quantized_baseline(const Json& report, const std::string& path);
/// Defects of the pictures of a baseline that was compared with itself, and that two runs differ.
std::vector<std::string> baseline_defects(const Json& comparison, const std::string& path);

/// Errors: as read_json; json_type (a document of another kind).
SupportRecord make_record(const ValidateRequest& request,
                          const RecordSources& sources,
                          Digests& digests);

}  // namespace ditq
