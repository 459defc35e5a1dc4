// A conversion under failing storage, cut short by signals, and beside other writers: after each the old output is as it
// was or the new one complete, and a later run succeeds and leaves nothing behind. Faults come from fault_shim.cpp.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/ditq_program.h"
#include "convert/atomic_output.h"
#include "convert/small_export.h"
#include "format/helpers.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

using Content = std::map<std::string, std::string>;

/// Every file of a folder, by path within it.
Content content_of(const std::string& folder) {
  Content content;
  if (!fs::exists(folder)) return content;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      content[fs::relative(entry.path(), folder).string()] = get_file(entry.path().string());
    }
  }
  return content;
}

/// A conversion of two shards, one of them large enough for output past the page cache, over an output that is there.
class Faults : public testing::Test {
 protected:
  Faults() {
    SmallExport small;
    small.tensors["transformer_blocks.0.big"] = bf16_tensor({512, 1024});
    small.split();
    small.write(folder_);
    put_file(folder_ / "export/side.txt", "beside");
    EXPECT_EQ(convert("").exit_code, 0);
    new_ = content_of(folder_ / "out");
    fs::remove_all(folder_ / "out");
    fs::create_directory(folder_ / "out");
    put_file(folder_ / "out/precious.txt", "precious");
    old_ = content_of(folder_ / "out");
    inputs_ = inputs();
    fs::copy(folder_ / "out", folder_ / "saved");
  }

  /// Runs it under a fault ("": none) with more flags, or other values of its own.
  ProcessResult convert(const std::string& fault, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"build-fp8",
                                          "--modelopt-hf-dir",
                                          folder_ / "export",
                                          "--modelopt-backbone-ckpt",
                                          folder_ / "checkpoint.pt",
                                          "--base-transformer-dir",
                                          folder_ / "base",
                                          "--output-dir",
                                          folder_ / "out",
                                          "--overwrite",
                                          "--jobs",
                                          "8"};
    for (std::size_t i = 0; i + 1 < more.size(); i += 2) {
      const auto given = std::find(arguments.begin(), arguments.end(), more[i]);
      if (given != arguments.end()) {
        *(given + 1) = more[i + 1];
      } else {
        arguments.insert(arguments.end(), {more[i], more[i + 1]});
      }
    }
    ProcessOptions options;
    if (!fault.empty()) {
      options.environment = {{"LD_PRELOAD", DITQ_FAULT_SHIM},
                             {"DITQ_FAULT", fault},
                             {"DITQ_FAULT_COUNT", folder_ / "count"},
                             {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    }
    return ditq(arguments, options);
  }

  /// How many calls of this kind a run makes.
  unsigned long calls_of(const std::string& kind) {
    EXPECT_EQ(convert(kind + ":none:0").exit_code, 0);
    restore_old();
    return std::stoul(get_file(folder_ / "count"));
  }

  Content inputs() const {
    Content all = content_of(folder_ / "export");
    for (const auto& [name, text] : content_of(folder_ / "base")) all["base/" + name] = text;
    return all;
  }

  void restore_old() {
    fs::remove_all(folder_ / "out");
    fs::copy(folder_ / "saved", folder_ / "out");
  }

  /// What stands beside the output and is none of the test's.
  std::set<std::string> debris() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("out.")) names.insert(name);
    }
    return names;
  }

  bool is_old() const { return content_of(folder_ / "out") == old_; }
  bool is_new() const { return content_of(folder_ / "out") == new_; }

  /// After a run that something stopped: nothing is lost, and the next run ends well.
  void expect_nothing_lost(const std::string& what) {
    EXPECT_TRUE(is_old() || is_new()) << what;
    EXPECT_EQ(inputs(), inputs_) << what;
    expect_next_run_ends_well(what);
  }

  void expect_next_run_ends_well(const std::string& what) {
    const ProcessResult next = convert("");
    EXPECT_EQ(next.exit_code, 0) << what << "\n" << next.err;
    EXPECT_TRUE(is_new()) << what;
    EXPECT_EQ(debris(), std::set<std::string>{}) << what;
    restore_old();
  }

  TemporaryFolder folder_;
  Content old_;
  Content new_;
  Content inputs_;
};

TEST_F(Faults, FullDiskAtEveryWriteIsFiveAndLosesNothing) {
  const unsigned long calls = calls_of("writes");
  ASSERT_GT(calls, 20U);
  for (unsigned long at = 1; at <= calls; ++at) {
    const std::string fault = "writes:ENOSPC:" + std::to_string(at) + "+";
    const ProcessResult result = convert(fault);
    // The last calls only tidy up: the output is in its place by then.
    EXPECT_TRUE(result.exit_code == 5 || (result.exit_code == 0 && is_new()))
        << fault << " " << result.exit_code << "\n"
        << result.err;
    expect_nothing_lost(fault);
  }
}

TEST_F(Faults, InputOutputErrorAtEveryWriteIsFiveAndLosesNothing) {
  const unsigned long calls = calls_of("writes");
  for (unsigned long at = 1; at <= calls; ++at) {
    const std::string fault = "writes:EIO:" + std::to_string(at);
    const ProcessResult result = convert(fault);
    EXPECT_TRUE(result.exit_code == 5 || (result.exit_code == 0 && is_new()))
        << fault << " " << result.exit_code << "\n"
        << result.err;
    expect_nothing_lost(fault);
  }
}

TEST_F(Faults, InputOutputErrorAtEveryReadIsFive) {
  const unsigned long calls = calls_of("pread");
  for (unsigned long at = 1; at <= calls; ++at) {
    const std::string fault = "pread:EIO:" + std::to_string(at);
    const ProcessResult result = convert(fault);
    EXPECT_EQ(result.exit_code, 5) << fault << "\n" << result.err;
    EXPECT_TRUE(is_old()) << fault;
    expect_nothing_lost(fault);
  }
}

TEST_F(Faults, ShortAndInterruptedTransfersChangeNothing) {
  for (const char* fault :
       {"pread:short:1+", "pwrite:short:1+", "copy_file_range:short:1+", "pread:EINTR:2%",
        "pwrite,write,copy_file_range,fallocate,sync_file_range,fsync,fdatasync:EINTR:2%",
        "open:EINTR:2%", "create:EINTR:2%", "flock:EINTR:2%"}) {
    const ProcessResult result = convert(fault);
    EXPECT_EQ(result.exit_code, 0) << fault << "\n" << result.err;
    EXPECT_TRUE(is_new()) << fault;
    restore_old();
  }
}

TEST_F(Faults, CallsThatAFileSystemLacksAreDoneWithout) {
  for (const char* fault :
       {"copy_file_range:EXDEV:1+", "copy_file_range:EOPNOTSUPP:1+", "fallocate:EOPNOTSUPP:1+",
        "sync_file_range:EINVAL:1+", "renameat2:EINVAL:1+", "flock:EOPNOTSUPP:1+",
        "flock:ENOLCK:1+", "open:EINVAL:1+:/proc/self/fd"}) {
    const ProcessResult result = convert(fault);
    EXPECT_EQ(result.exit_code, 0) << fault << "\n" << result.err;
    EXPECT_TRUE(is_new()) << fault;
    EXPECT_EQ(debris(), std::set<std::string>{}) << fault;
    restore_old();
  }
}

TEST_F(Faults, KilledAtEveryCallTheNextRunEndsWell) {
  const unsigned long calls = calls_of("writes");
  for (unsigned long at = 1; at <= calls; ++at) {
    const std::string fault = "writes:kill:" + std::to_string(at);
    EXPECT_EQ(convert(fault).exit_code, 128 + SIGKILL) << fault;
    expect_nothing_lost(fault);
  }
}

TEST_F(Faults, KilledWhileAnOutputIsReplacedByRenamesTheNextRunEndsWell) {
  const auto set_up = [&](bool complete, bool replaced, bool target) {
    fs::remove_all(folder_ / "out");
    if (target) fs::copy(folder_ / "saved", folder_ / "out");
    if (replaced) fs::copy(folder_ / "saved", folder_ / "out.replaced-0123abcd");
    if (!complete) return;
    fs::create_directory(folder_ / "out.complete-0123abcd");
    put_file(folder_ / "out.complete-0123abcd/complete", "new");
  };
  const auto recovered = [&] {
    { const AtomicOutput next(folder_ / "out", true); }
    EXPECT_EQ(debris(), std::set<std::string>{});
    return content_of(folder_ / "out");
  };
  const Content completed{{"complete", "new"}};
  set_up(/*complete=*/true, /*replaced=*/false, /*target=*/true);
  EXPECT_EQ(recovered(), completed) << "killed before the old output went aside";
  set_up(/*complete=*/true, /*replaced=*/true, /*target=*/false);
  EXPECT_EQ(recovered(), completed) << "killed between the two renames";
  set_up(/*complete=*/false, /*replaced=*/true, /*target=*/true);
  EXPECT_EQ(recovered(), old_) << "killed before the old output was removed";
  set_up(/*complete=*/true, /*replaced=*/true, /*target=*/false);
  const std::string target = folder_ / "out";
  EXPECT_EQ(code_of([&] { AtomicOutput(target, false); }), "output_exists")
      << "a run without --overwrite finishes the other's work and stops before its own";
  EXPECT_EQ(content_of(target), completed);
}

class Signalled : public Faults, public testing::WithParamInterface<const char*> {};

TEST_P(Signalled, AtAnyCallEndsWith130AndLosesNothing) {
  const unsigned long calls = calls_of("writes");
  for (unsigned long at = 1; at <= calls; at += 2) {
    const std::string fault = std::string("writes:") + GetParam() + ":" + std::to_string(at);
    const ProcessResult result = convert(fault);
    EXPECT_TRUE(result.exit_code == 130 || (result.exit_code == 0 && is_new()))
        << fault << " " << result.exit_code << "\n"
        << result.err;
    expect_nothing_lost(fault);
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, Signalled, testing::Values("int", "term"), [](const auto& info) {
  return std::string(info.param);
});

TEST_F(Faults, AnotherRunContinuesWithFinishedShards) {
  ASSERT_EQ(convert("pwrite:ENOSPC:1+:00002-of").exit_code, 5);
  EXPECT_TRUE(is_old());
  ASSERT_EQ(debris().size(), 1U);
  const ProcessResult next = convert("");
  EXPECT_EQ(next.exit_code, 0);
  EXPECT_THAT(next.err, HasSubstr("1 of 2 shards are there already"));
  EXPECT_TRUE(is_new());
  EXPECT_EQ(debris(), std::set<std::string>{});
}

TEST_F(Faults, FinishedShardsOfOtherInputsOrOptionsAreNotUsed) {
  ASSERT_EQ(convert("pwrite:ENOSPC:1+:00002-of").exit_code, 5);
  const ProcessResult other = convert("", {"--keep-bf16-pattern", "to_k"});
  EXPECT_EQ(other.exit_code, 0);
  EXPECT_THAT(other.err, testing::Not(HasSubstr("there already")));
  restore_old();
  ASSERT_EQ(convert("pwrite:ENOSPC:1+:00002-of").exit_code, 5);
  const auto shard = folder_ / "export/diffusion_pytorch_model-00001-of-00002.safetensors";
  fs::last_write_time(shard, fs::last_write_time(shard) + std::chrono::seconds(1));
  const ProcessResult touched = convert("");
  EXPECT_EQ(touched.exit_code, 0);
  EXPECT_THAT(touched.err, testing::Not(HasSubstr("there already")));
  EXPECT_TRUE(is_new());
  EXPECT_EQ(debris(), std::set<std::string>{});
}

TEST_F(Faults, DamagedFinishedShardsAreNotUsed) {
  ASSERT_EQ(convert("pwrite:ENOSPC:1+:00002-of").exit_code, 5);
  const std::string partial = *debris().begin();
  put_file(folder_ / (partial + "/diffusion_pytorch_model-00001-of-00002.safetensors"), "damaged");
  expect_next_run_ends_well("a finished shard was overwritten");
}

TEST_F(Faults, TooLittleSpaceIsToldBeforeAnythingIsWritten) {
  const ProcessResult result = convert("statvfs:full:1+");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr("are missing"));
  EXPECT_TRUE(is_old());
  EXPECT_EQ(debris(), std::set<std::string>{});
  EXPECT_EQ(convert("fallocate:ENOSPC:1").exit_code, 5);
  expect_nothing_lost("no space to reserve");
}

TEST_F(Faults, AReadOnlyTargetIsFive) {
  for (const char* fault : {"mkdir:EROFS:1+", "mkdir:EACCES:1+", "create:EACCES:1+"}) {
    const ProcessResult result = convert(fault);
    EXPECT_EQ(result.exit_code, 5) << fault;
    EXPECT_THAT(result.err, HasSubstr("out.partial-")) << fault;
    EXPECT_TRUE(is_old()) << fault;
    EXPECT_EQ(debris(), std::set<std::string>{}) << fault;
  }
}

TEST_F(Faults, ASourceThatChangesWhileItIsReadIsNamed) {
  for (const char* fault : {"pread:touch:8:export/", "pread:truncate:8:export/"}) {
    SmallExport small;
    small.tensors["transformer_blocks.0.big"] = bf16_tensor({512, 1024});
    small.split();
    small.write(folder_);
    const ProcessResult result = convert(fault);
    EXPECT_EQ(result.exit_code, 3) << fault << "\n" << result.err;
    EXPECT_THAT(result.err, AnyOf(HasSubstr("changed while"), HasSubstr("ended early"))) << fault;
    EXPECT_THAT(result.err, HasSubstr("export/diffusion_pytorch_model")) << fault;
    EXPECT_TRUE(is_old()) << fault;
    EXPECT_EQ(debris(), std::set<std::string>{}) << fault;
  }
}

TEST_F(Faults, ASecondWriterIsTold) {
  const AtomicOutput first(folder_ / "out", true);
  const ProcessResult second = convert("");
  EXPECT_EQ(second.exit_code, 5);
  EXPECT_THAT(second.err, HasSubstr("another run is writing this output"));
  EXPECT_TRUE(is_old());
  EXPECT_EQ(debris().size(), 1U) << "the first one's folder stays";
}

TEST_F(Faults, LinksInACircleAreInputErrorsAndNoHang) {
  fs::create_symlink("b", folder_ / "a");
  fs::create_symlink("a", folder_ / "b");
  EXPECT_EQ(ditq({"inspect", folder_ / "a"}).exit_code, 3);
  EXPECT_EQ(convert("", {"--base-transformer-dir", folder_ / "a"}).exit_code, 3);
  EXPECT_EQ(convert("", {"--output-dir", folder_ / "a/out"}).exit_code, 5);
  fs::create_directory_symlink(".", folder_ / "export/again");
  const ProcessResult again = convert("");
  EXPECT_EQ(again.exit_code, 4) << again.err;
  EXPECT_THAT(again.err, HasSubstr("links back into itself"));
  fs::remove(folder_ / "export/again");
  fs::create_symlink("loop", folder_ / "export/loop");
  EXPECT_EQ(convert("").exit_code, 3);
  EXPECT_TRUE(is_old());
}

}  // namespace
}  // namespace ditq::test
