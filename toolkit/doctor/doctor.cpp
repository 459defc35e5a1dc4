#include "doctor/doctor.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "convert/checksums.h"
#include "convert/component_source.h"
#include "doctor/base_checks.h"
#include "doctor/findings.h"
#include "doctor/layer.h"
#include "doctor/machine.h"
#include "doctor/self_checks.h"
#include "doctor/structure.h"
#include "family/dialect.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

TransformerSource open_base(const std::string& path) {
  TransformerSource base =
      resolve_transformer(path, "", {.access = Access::copy, .needs_architecture = false});
  if (base.quant.scheme == Scheme::none) return base;
  throw Error(ErrorCode::wrong_dtype, "the base is quantized itself",
              {.path = path,
               .expected = "the original transformer in BF16, F16 or F32",
               .found = fmt::format("{} from {}", name(base.quant.scheme), base.quant.source)});
}

/// One examination.
class Examination {
 public:
  Examination(const std::string& path, const std::string& base, bool verify) : verify_(verify) {
    report_.path = path;
    report_.base = base;
    source_ =
        resolve_transformer(path, "",
                            {.access = Access::copy,
                             .on_error = [this](const std::string& module,
                                                const Error& error) { take_error(module, error); },
                             .needs_architecture = false});
    if (!base.empty()) base_ = open_base(base);
  }

  DoctorReport run() {
    describe();
    if (verify_) verify_files();
    std::vector<Layer> layers = layers_of(*source_.tensors);
    for (Layer& layer : layers) layer.unswizzled = source_.unswizzled.contains(layer.name);
    if (report_.base.empty()) {
      check_tensors_of_family(source_, findings_);
    } else {
      check_tensors_of_base(source_, base_, broken_, findings_);
    }
    check_ignored(source_, layers, findings_);
    check_declared_order(source_, findings_);
    ProgressBar progress("examining", layers.size(), "layer");
    for (const Layer& layer : layers) {
      check_interrupt();
      examine_layer(layer);
      progress.advance();
    }
    progress.finish();
    if (!report_.base.empty()) check_other_tensors(*source_.tensors, *base_.tensors, findings_);
    check_amax_among_blocks(amax_, findings_);
    report_.findings = findings_.finish();
    explain_keys(source_, layers, report_.findings);
    return report_;
  }

 private:
  /// What cannot be read of a stored module; its parts may be missing from the view.
  void take_error(const std::string& module, const Error& error) {
    findings_.add_content(error, module);
    errors_.push_back(module);
  }

  void describe() {
    const Detection& detection = source_.detection;
    const DialectNames names(detection.mark);
    for (const std::string& module : errors_) {
      if (module.empty()) continue;
      for (const std::string& part : names.modules(module)) broken_.insert(part);
    }
    if (detection.family != nullptr) {
      report_.family = detection.family->name;
      report_.title = detection.family->title;
    }
    report_.dialect = detection.dialect;
    report_.scheme = std::string(name(source_.quant.scheme));
    report_.reasons = source_.reasons;
    const bool runs = detection.family != nullptr && !detection.family->layers.empty();
    report_.machine =
        look_at_machine(report_.scheme, report_.title, runs, source_.checkpoint->total_size());
  }

  void verify_files() {
    const fs::path place = source_.checkpoint->path();
    const fs::path folder = fs::is_directory(place) ? place : place.parent_path();
    ChecksumReport checked = verify_checksums(folder.string());
    report_.verified = std::move(checked.intact);
    for (const ChecksumProblem& problem : checked.problems) {
      findings_.add("checksum", Severity::problem, sentence(problem),
                    "Convert again, or copy the checkpoint again");
    }
  }

  static std::string sentence(const ChecksumProblem& problem) {
    switch (problem.kind) {
      case ChecksumProblem::Kind::missing:
        return fmt::format("'{}' is listed in {} and not there", problem.name, kChecksumsName);
      case ChecksumProblem::Kind::unlisted:
        return fmt::format("'{}' is not listed in {}", problem.name, kChecksumsName);
      case ChecksumProblem::Kind::differs:
        break;
    }
    return fmt::format("'{}' changed since it was written: SHA-256 {} expected, {} found",
                       problem.name, problem.expected, problem.found);
  }

  void examine_layer(const Layer& layer) {
    ExaminedLayer& examined =
        report_.layers.emplace_back(ExaminedLayer{.name = layer.name, .stored = layer.stored()});
    try {
      const LayerData data(*source_.tensors, layer);
      if (layer.encoding != Encoding::plain) {
        amax_.push_back(check_itself(*source_.tensors, data, findings_));
      }
      if (!report_.base.empty()) {
        check_against_base(data, *base_.tensors, findings_, examined);
      } else if (layer.encoding == Encoding::nvfp4) {
        check_scale_order(data, findings_);
      }
    } catch (const Error& error) {
      findings_.add_content(error, layer.name);
    }
  }

  bool verify_;
  DoctorReport report_;
  TransformerSource source_;
  TransformerSource base_;
  Findings findings_;
  std::vector<std::string> errors_;  // stored modules that could not be read
  std::set<std::string> broken_;     // their names in the diffusers dialect
  std::vector<LayerAmax> amax_;
};

}  // namespace

DoctorReport examine(const std::string& path, const std::string& base, bool verify) {
  return Examination(path, base, verify).run();
}

}  // namespace ditq
