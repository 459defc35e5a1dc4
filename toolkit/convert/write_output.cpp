#include "convert/write_output.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "convert/atomic_output.h"
#include "convert/checksums.h"
#include "convert/resume_log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Whether another run with the same inputs may get further than the one that this error stopped.
bool may_pass(ErrorCode code) {
  return code == ErrorCode::storage || code == ErrorCode::interrupted ||
         code == ErrorCode::file_unreadable || code == ErrorCode::out_of_memory;
}

class OutputWriter {
 public:
  OutputWriter(const OutputPlan& plan, const OutputSettings& settings)
      : plan_(plan),
        settings_(settings),
        output_(settings.target, settings.overwrite),
        log_(output_.folder()) {}

  OutputReport run() {
    const auto start = std::chrono::steady_clock::now();
    try {
      sort_out_shards();
      write();
    } catch (const Error& error) {
      if (may_pass(error.code())) keep_finished();
      throw;
    }
    output_.commit();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    report_.seconds = took.count();
    return report_;
  }

 private:
  /// Which shards an earlier run has finished, and which are to be written.
  void sort_out_shards() {
    InputIdentities inputs;
    std::set<std::string> reused;
    for (const PlannedShard& planned : plan_.shards) {
      LaidOutShard shard = lay_out(planned);
      std::string print = fingerprint(shard, inputs);
      if (const std::string* digest = log_.find(shard.name, print)) {
        checksums_[shard.name] = *digest;
        reused.insert(shard.name);
        continue;
      }
      report_.written_bytes += shard.size();
      shards_.push_back(std::move(shard));
      fingerprints_.push_back(std::move(print));
    }
    log_.keep_only(reused);
    report_.reused_shards = reused.size();
    if (report_.reused_shards > 0) {
      log_info(fmt::format("{} of {} shards are there already, from a run that did not finish",
                           report_.reused_shards, plan_.shards.size()));
    }
  }

  void write() {
    check_interrupt();
    check_free_space(settings_.target, report_.written_bytes + size_of_the_rest());
    make_folders();
    copy_side_files(plan_.side_files, output_.folder());
    write_shards(shards_, output_.folder(), settings_.limits,
                 [this](std::size_t i, const std::string& digest) {
                   checksums_[shards_[i].name] = digest;
                   log_.add(shards_[i].name, fingerprints_[i], digest);
                 });
    check_inputs_unchanged();
    for (const PlannedDocument& document : plan_.documents) {
      write_document(output_.folder(), document.name, document.text);
    }
    write_checksums();
    check_interrupt();
    log_.remove();
  }

  /// The folders of shards and documents that lie in one.
  void make_folders() const {
    std::set<fs::path> folders;
    for (const PlannedShard& shard : plan_.shards)
      folders.insert(fs::path(shard.name).parent_path());
    for (const PlannedDocument& document : plan_.documents) {
      folders.insert(fs::path(document.name).parent_path());
    }
    for (const fs::path& folder : folders) {
      std::error_code status;
      fs::create_directories(fs::path(output_.folder()) / folder, status);
      if (!status) continue;
      throw Error(ErrorCode::storage, fmt::format("cannot create the folder: {}", status.message()),
                  {.path = (fs::path(output_.folder()) / folder).string()});
    }
  }

  /// Beside the shards: one file a folder.
  void write_checksums() const {
    std::map<fs::path, Checksums> by_folder;
    for (const auto& [name, digest] : checksums_) {
      const fs::path path = name;
      by_folder[path.parent_path()][path.filename().string()] = digest;
    }
    for (const auto& [folder, checksums] : by_folder) {
      write_document(output_.folder(), (folder / kChecksumsName).string(),
                     checksums_text(checksums));
    }
  }

  std::uint64_t size_of_the_rest() const {
    std::uint64_t bytes = total_size(plan_.side_files);
    for (const PlannedDocument& document : plan_.documents) bytes += document.text.size();
    return bytes;
  }

  /// Shards are checked one by one; an input of several could still have changed between two of them.
  void check_inputs_unchanged() const {
    std::set<const InputFile*> inputs;
    for (const PlannedShard& shard : plan_.shards) {
      for (const PlannedTensor& tensor : shard.tensors) {
        if (tensor.source() != nullptr) inputs.insert(tensor.source()->file.get());
      }
    }
    for (const InputFile* input : inputs) input->check_unchanged();
  }

  /// Frees what the next run cannot use, and says where the rest is.
  void keep_finished() {
    try {
      if (log_.keep_finished() == 0) return;
    } catch (const Error& error) {
      log_warning(
          error.what());  // what stopped the run is the news; this one only costs time later
      return;
    }
    output_.keep();
    log_warning(fmt::format(
        "{} of {} shards are finished and stay in {}: the same command continues from there",
        checksums_.size(), plan_.shards.size(), output_.folder()));
  }

  const OutputPlan& plan_;
  const OutputSettings& settings_;
  AtomicOutput output_;
  ResumeLog log_;
  std::vector<LaidOutShard> shards_;       // to be written
  std::vector<std::string> fingerprints_;  // of shards_
  Checksums checksums_;                    // of all finished shards
  OutputReport report_;
};

}  // namespace

std::string OutputReport::text() const {
  const double rate = seconds > 0 ? static_cast<double>(written_bytes) / seconds : 0;
  std::string out = fmt::format("{} in {:.1f} s, {}/s", human_bytes(written_bytes), seconds,
                                human_bytes(static_cast<std::uint64_t>(rate)));
  if (reused_shards > 0) {
    out += fmt::format(", {} shard{} there already", reused_shards,
                       reused_shards == 1 ? " was" : "s were");
  }
  return out;
}

OutputReport write_output(const OutputPlan& plan, const OutputSettings& settings) {
  return OutputWriter(plan, settings).run();
}

}  // namespace ditq
