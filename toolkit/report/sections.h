#pragma once
// The sections of the page, one file each. A section without anything to show is empty, or says so in a sentence.

#include <string>
#include <vector>

#include "report/comparison.h"
#include "report/node.h"
#include "report/report.h"

namespace ditq {

/// What the sections are made from.
struct ReportView {
  Node comparison;
  Node bench;
  Node doctor;
  Node inspect;
  Node record;
  std::vector<RunView> runs;
  const std::vector<ReportPair>* pairs = nullptr;
};

// Every function here: errors json_type.

/// The page's title where none is given, as plain text.
std::string default_title(const ReportView& view);
/// Title, verdict, bars and key figures.
std::string verdict_section(const ReportView& view, const std::string& title);
/// Pairs of pictures with a slider and a difference map; worst first.
std::string pictures_section(const ReportView& view);
/// Every run with its figures.
std::string runs_section(const ReportView& view);
/// Charts over the denoising steps.
std::string curves_section(const ReportView& view);
/// What quantization did to the weights, layer by layer.
std::string layers_section(const ReportView& view);
/// What stayed in full precision, and why.
std::string kept_section(const ReportView& view);
/// Times, memory and clocks.
std::string speed_section(const ReportView& view);
/// Settings, sides, versions, machine, commands, record.
std::string settings_section(const ReportView& view);

/// The transformer's inspection: of a pipeline its component's.
Node inspected_checkpoint(const Node& inspect);

/// The page's style sheet and script.
const std::string& page_style();
const std::string& page_script();

}  // namespace ditq
