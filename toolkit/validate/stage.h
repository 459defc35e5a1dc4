#pragma once
// Steps that are done once: each knows what it depends on and what it leaves, and is skipped as long as neither has
// changed.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "validate/digests.h"
#include "validate/work_folder.h"

namespace ditq {

/// One run of this program.
struct StageCommand {
  std::vector<std::string> arguments;  ///< of ditq: {"compare", "--model-path", …}
  std::string output;                  ///< file for its stdout
};

/// One stage of a validation.
struct Stage {
  std::string name;   ///< "compare": also its folder, <work>/compare
  std::string title;  ///< what it does, for people
  std::vector<StageCommand> commands;
  /// Files and folders whose content it depends on; one that is not there counts as such.
  std::vector<std::string> inputs;
  /// Whatever else it depends on: "machine" and what it is.
  std::map<std::string, std::string> conditions;
  /// Runs after the commands, in this process; what it returns must not be: one sentence each.
  std::function<std::vector<std::string>()> finish;
};

/// What became of a stage.
struct StageResult {
  std::string name;
  bool reused = false;
  double seconds = 0;                   ///< of the run that did it
  std::vector<std::string> shortfalls;  ///< why the gate does not pass; empty: it does
};

class StageRunner {
 public:
  /// `program` is ditq; `program_files` are what it consists of: a new build counts as a change. `talk` are flags that
  /// every command gets and that change nothing but what it says: "--quiet".
  StageRunner(const WorkFolder& work,
              std::string program,
              const std::vector<std::string>& program_files,
              std::vector<std::string> talk);

  /// Runs one stage, or finds that it has been done. A stage that was interrupted begins in the folder that it left, so
  /// that its command can continue; otherwise the folder is emptied. A command that ends with 1 has checked and found
  /// something: finish says what.
  /// Errors: of a command that fails, the error's code and the sentence that it ended; interrupted; storage.
  StageResult run(const Stage& stage, bool again);

  Digests& digests() { return digests_; }

 private:
  std::string key_of(const Stage& stage);
  bool is_done(const Stage& stage, const std::string& key, StageResult& result);
  void prepare_folder(const Stage& stage, const std::string& key, bool again) const;
  std::vector<std::string> run_commands(const Stage& stage) const;
  std::string note(const Stage& stage, const char* ending) const;

  const WorkFolder& work_;
  std::string program_;
  std::vector<std::string> talk_;
  Digests digests_;
  std::string build_;  ///< digest of program_files
};

}  // namespace ditq
