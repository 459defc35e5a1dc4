#pragma once
// Collects what is found, layer by layer, and says it once.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "doctor/report.h"

namespace ditq {

/// How a finding reads. "{}" in `one` is the layer's name, in `many` the number of layers.
struct FindingText {
  std::string kind;
  Severity severity = Severity::problem;
  std::string one;     ///< "block scales of '{}' look swizzled"
  std::string many;    ///< "block scales of {} layers look swizzled"
  std::string remedy;  ///< ends "error … as stored, … after {remedy}"; empty: no second error
  std::string advice;
};

/// Findings of one examination; the same finding about several layers becomes one.
class Findings {
 public:
  /// A finding about a layer, with its errors as stored and after the remedy.
  void add(const FindingText& text,
           const std::string& layer,
           std::optional<double> error = std::nullopt,
           std::optional<double> error_after = std::nullopt);
  /// A finding about the checkpoint.
  void add(const std::string& kind,
           Severity severity,
           const std::string& message,
           const std::string& advice = {});
  /// An error about the checkpoint's content as a problem: the code is its kind. `layer` may be empty. Raises errors
  /// that are not about content again: an interrupt, no memory, a file that changed or cannot be read.
  void add_content(const Error& error, const std::string& layer);

  /// All findings in the order in which they were found, problems first.
  std::vector<Finding> finish() const;

 private:
  struct Entry {
    FindingText text;
    std::vector<std::string> layers;
    double error = 0;
    double error_after = 0;
    std::size_t errors = 0;
  };
  static Finding finding_of(const Entry& entry);

  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> places_;  // by kind and text
  std::vector<Finding> others_;
};

/// An error of a distance for people: "0.41", "2.6e-05".
std::string error_text(double error);

}  // namespace ditq
