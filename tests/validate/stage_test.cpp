// Stages are done once: again exactly where something that they depend on has changed.

#include "validate/stage.h"

#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A program that notes its arguments, copies $2 to $3 where $1 is "copy", and ends with $2 where it is "end".
constexpr const char* kProgram =
    "#!/bin/sh\n"
    "echo \"$@\" >> \"$(dirname \"$0\")/calls\"\n"
    "case $1 in copy) cp \"$2\" \"$3\" ;; end) exit \"$2\" ;; kill) kill -9 $$ ;; esac\n";

class Stages : public testing::Test {
 protected:
  Stages() {
    put("program", kProgram);
    ::chmod(path("program").c_str(), 0755);
    put("a", "1");
    put("b", "1");
  }

  std::string path(const std::string& name) const { return folder_ / name; }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  std::string calls() {
    const std::string out = fs::exists(path("calls")) ? read_text(path("calls")) : "";
    fs::remove(path("calls"));
    return out;
  }

  /// Copies an input into the stage's folder.
  Stage copy_stage(const std::string& name, const std::string& input) const {
    const std::string target = path("work/" + name + "/copy");
    return {.name = name,
            .title = "",
            .commands = {{{"copy", input, target}, path("work/" + name + "/out")}},
            .inputs = {input},
            .conditions = {},
            .finish = {}};
  }
  /// Two chains: a → first → second, b → other.
  std::vector<Stage> chain() const {
    return {copy_stage("first", path("a")), copy_stage("second", path("work/first/copy")),
            copy_stage("other", path("b"))};
  }
  /// Names of the stages that ran.
  std::vector<std::string> run(const std::vector<Stage>& stages, const std::string& again = "") {
    const WorkFolder work(path("work"));
    StageRunner runner(work, path("program"), {path("program")}, {});
    std::vector<std::string> out;
    for (const Stage& stage : stages) {
      const StageResult result = runner.run(stage, stage.name == again);
      if (!result.reused) out.push_back(result.name);
    }
    return out;
  }

  TemporaryFolder folder_;
};

TEST_F(Stages, RunOnce) {
  EXPECT_THAT(run(chain()), ElementsAre("first", "second", "other"));
  EXPECT_THAT(calls(), HasSubstr("copy"));
  EXPECT_THAT(run(chain()), IsEmpty());
  EXPECT_EQ(calls(), "");
}

TEST_F(Stages, RunAgainExactlyWhereAnInputChanged) {
  run(chain());
  put("b", "2");
  EXPECT_THAT(run(chain()), ElementsAre("other"));
  put("a", "2");
  EXPECT_THAT(run(chain()), ElementsAre("first", "second"));
  EXPECT_EQ(read_text(path("work/second/copy")), "2");
}

TEST_F(Stages, StopAtAnInputThatIsTheSameAgain) {
  run(chain());
  std::vector<Stage> stages = chain();
  stages[0].conditions["machine"] = "another";
  EXPECT_THAT(run(stages), ElementsAre("first"));  // It left the same bytes.
  put("a", "1");                                   // Rewritten, and no different.
  EXPECT_THAT(run(stages), IsEmpty());
}

TEST_F(Stages, RunAgainWhenACommandOrTheProgramChanged) {
  run(chain());
  std::vector<Stage> stages = chain();
  stages[2].commands[0].arguments.push_back("--more");
  EXPECT_THAT(run(stages), ElementsAre("other"));
  put("program", std::string(kProgram) + "# another build\n");
  EXPECT_THAT(run(stages), ElementsAre("first", "second", "other"));
}

TEST_F(Stages, RunAgainWhenWhatTheyLeftIsGoneOrAltered) {
  run(chain());
  fs::remove(path("work/other/copy"));
  EXPECT_THAT(run(chain()), ElementsAre("other"));
  put("work/second/copy", "altered");
  EXPECT_THAT(run(chain()), ElementsAre("second"));
  put("work/second/extra", "");
  EXPECT_THAT(run(chain()), ElementsAre("second"));
  EXPECT_FALSE(fs::exists(path("work/second/extra")));
}

TEST_F(Stages, RunAgainWhenAskedTo) {
  run(chain());
  EXPECT_THAT(run(chain(), "first"), ElementsAre("first"));
}

TEST_F(Stages, AreNotDoneAfterACommandThatFailed) {
  Stage stage = copy_stage("first", path("a"));
  stage.commands.push_back({{"end", "4"}, path("work/first/out")});
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      run({stage});
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.code()), ExitCode::unsupported);
      EXPECT_THAT(error.what(), HasSubstr("stage first"));
      EXPECT_THAT(error.what(), HasSubstr("ditq end 4"));
    }
    EXPECT_THAT(calls(), HasSubstr("copy"));
  }
}

TEST_F(Stages, GoOnInTheFolderThatAKilledOneLeft) {
  Stage stage = copy_stage("first", path("a"));
  stage.commands.push_back({{"kill"}, path("work/first/out")});
  EXPECT_THROW(run({stage}), Error);
  EXPECT_TRUE(fs::exists(path("work/first/copy")));
  put("work/first/half", "what the command continues from");
  EXPECT_THROW(run({stage}), Error);
  EXPECT_TRUE(fs::exists(path("work/first/half")));
  put("a", "2");  // Another request: nothing of the old one may count.
  EXPECT_THROW(run({stage}), Error);
  EXPECT_FALSE(fs::exists(path("work/first/half")));
}

TEST_F(Stages, KeepWhatACheckFound) {
  Stage stage = copy_stage("first", path("a"));
  stage.commands.push_back({{"end", "1"}, path("work/first/out")});
  const WorkFolder work(path("work"));
  StageRunner runner(work, path("program"), {}, {});
  EXPECT_THAT(runner.run(stage, false).shortfalls, ElementsAre("'ditq end' found something"));
  EXPECT_THAT(runner.run(stage, false).shortfalls, ElementsAre("'ditq end' found something"));
  stage.name = "second";
  stage.finish = [] { return std::vector<std::string>{"psnr is 3"}; };
  fs::create_directories(path("work/second"));
  EXPECT_THAT(runner.run(stage, false).shortfalls, ElementsAre("psnr is 3"));
}

TEST_F(Stages, AreForOneRunAtATime) {
  const WorkFolder work(path("work"));
  try {
    const WorkFolder other(path("work"));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::output_busy);
  }
}

TEST_F(Stages, DoNotTouchAFolderOfOthers) {
  fs::create_directories(path("home/compare"));
  try {
    const WorkFolder work(path("home"));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::output_exists);
  }
  EXPECT_TRUE(fs::exists(path("home/compare")));
}

TEST_F(Stages, SurviveADamagedNote) {
  run(chain());
  put("work/.stages/first.done.json", "{");
  put("work/.stages/digests.json", "[1]");
  EXPECT_THAT(run(chain()), ElementsAre("first"));
}

}  // namespace
}  // namespace ditq::test
