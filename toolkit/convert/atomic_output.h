#pragma once
// A folder that appears complete or not at all. It is written as "<name>.partial-<8 hex digits>" beside its place and
// renamed at the end; an existing folder is exchanged with it in one step. What a crash leaves behind is known by its
// lock, which nobody holds any more: the next run continues in it when it holds finished shards, and removes it
// otherwise. Where the file system cannot exchange, the folders' names are the journal: a complete folder becomes
// "<name>.complete-<digits>", the old one "<name>.replaced-<the same digits>", then the new one takes its place; the
// next run finishes what it finds begun.

#include <cstdint>
#include <string>
#include <vector>

namespace ditq {

/// Raises what can be known before any work: the place is taken, or is no folder. `target` as resolve_output_dir gives it.
/// Errors: output_exists.
void check_target(const std::string& target, bool overwrite);

/// Raises when the file system of `target` has less than `bytes` free; says nothing where that cannot be known.
/// Errors: storage.
void check_free_space(const std::string& target, std::uint64_t bytes);

class AtomicOutput {
 public:
  /// How an existing folder is replaced: by the kernel's exchange, or by renames that the next run can finish.
  enum class Replace { exchange, renames };

  /// Finishes what dead runs began to put in place, takes over or removes their partial folders, and makes one where
  /// there is none. Renames is also what exchange falls back to on file systems without it.
  /// Errors: output_busy, output_exists (also when a dead run's output was put in place), storage, interrupted.
  AtomicOutput(std::string target, bool overwrite, Replace replace = Replace::exchange);

  /// Removes the partial folder, and parents made for it, unless commit() succeeded or keep() was called.
  ~AtomicOutput();
  AtomicOutput(const AtomicOutput&) = delete;
  AtomicOutput& operator=(const AtomicOutput&) = delete;

  /// The folder to write into.
  const std::string& folder() const { return partial_; }

  /// Leaves the partial folder, should commit() not succeed, for the next run to take over.
  void keep() { kept_ = true; }

  /// Makes the folder durable and moves it to its place; what was there is removed afterwards.
  /// Errors: output_exists (it appeared meanwhile), storage.
  void commit();

 private:
  void finish_begun_replacements() const;
  void take_over_or_remove_dead();
  void make_partial();
  bool exchange() const;
  std::string replace_by_renames();
  void remove_made_parents() const;

  std::string target_;
  std::string parent_;
  bool overwrite_;
  Replace replace_;
  std::string partial_;
  int lock_ = -1;                          // the partial folder, open and locked
  std::vector<std::string> made_parents_;  // outermost first
  bool kept_ = false;
  bool committed_ = false;
};

}  // namespace ditq
