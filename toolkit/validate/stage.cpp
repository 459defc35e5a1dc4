#include "validate/stage.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "validate/child.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// To be increased when stages mean something else than before.
constexpr int kStageForm = 1;

/// The error that a command's exit code stands for.
ErrorCode code_of(int exit_code) {
  switch (exit_code) {
    case 2:
      return ErrorCode::usage;
    case 3:
      return ErrorCode::bad_config;
    case 4:
      return ErrorCode::unsupported;
    case 130:
      return ErrorCode::interrupted;
    default:
      return ErrorCode::device;
  }
}

Json read_note(const std::string& path) {
  try {
    if (fs::exists(path)) return read_json(path);
  } catch (const Error&) {
    // A note that cannot be read says nothing: the stage runs again.
  }
  return Json::object();
}

}  // namespace

StageRunner::StageRunner(const WorkFolder& work,
                         std::string program,
                         const std::vector<std::string>& program_files,
                         std::vector<std::string> talk)
    : work_(work),
      program_(std::move(program)),
      talk_(std::move(talk)),
      digests_(work.notes() + "/digests.json") {
  Sha256 digest;
  for (const std::string& file : program_files) digest.update(digests_.of_file(file));
  build_ = digest.finish();
}

std::string StageRunner::note(const Stage& stage, const char* ending) const {
  return work_.notes() + "/" + stage.name + ending;
}

std::string StageRunner::key_of(const Stage& stage) {
  Json key = {{"form", kStageForm}, {"stage", stage.name}, {"build", build_}};
  for (const StageCommand& command : stage.commands) key["commands"].push_back(command.arguments);
  for (const std::string& input : stage.inputs) {
    if (!input.empty()) key["inputs"][input] = digests_.of_tree(input);
  }
  for (const auto& [name, value] : stage.conditions) key["conditions"][name] = value;
  digests_.save();
  Sha256 digest;
  digest.update(dump_json(key));
  return digest.finish();
}

bool StageRunner::is_done(const Stage& stage, const std::string& key, StageResult& result) {
  const Json done = read_note(note(stage, ".done.json"));
  if (done.value("key", "") != key) return false;
  if (done.value("output", "") != digests_.of_tree(work_ / stage.name)) {
    log_info(fmt::format("{}: what it left has changed since; it runs again", stage.name));
    return false;
  }
  result.reused = true;
  result.seconds = done.value("seconds", 0.0);
  result.shortfalls = done.value("shortfalls", std::vector<std::string>{});
  return true;
}

void StageRunner::prepare_folder(const Stage& stage, const std::string& key, bool again) const {
  const std::string folder = work_ / stage.name;
  const std::string begun = note(stage, ".begun.json");
  const bool goes_on = !again && read_note(begun).value("key", "") == key;
  fs::remove(note(stage, ".done.json"));
  if (!goes_on) fs::remove_all(folder);
  fs::create_directories(folder);
  write_text(begun, dump_json(Json{{"key", key}}));
}

std::vector<std::string> StageRunner::run_commands(const Stage& stage) const {
  std::vector<std::string> failed;
  for (const StageCommand& command : stage.commands) {
    log_verbose("$ ditq " + shell_words(command.arguments));
    std::vector<std::string> arguments = command.arguments;
    arguments.insert(arguments.end(), talk_.begin(), talk_.end());
    const int code = run_child(program_, arguments, command.output);
    if (code == 0) continue;
    if (code == 1) {
      failed.push_back(fmt::format("'ditq {}' found something", command.arguments.front()));
      continue;
    }
    throw Error(
        code_of(code), fmt::format("stage {} did not end well", stage.name),
        {.expected = "exit code 0",
         .found = fmt::format("{} of 'ditq {}'", code, command.arguments.front()),
         .advice = "Its message stands above. By hand: ditq " + shell_words(command.arguments)});
  }
  return failed;
}

StageResult StageRunner::run(const Stage& stage, bool again) {
  using Clock = std::chrono::steady_clock;
  StageResult result{.name = stage.name, .reused = false, .seconds = 0, .shortfalls = {}};
  const std::string key = key_of(stage);
  if (!again && is_done(stage, key, result)) return result;
  const auto start = Clock::now();
  prepare_folder(stage, key, again);
  const std::vector<std::string> failed = run_commands(stage);
  if (stage.finish) result.shortfalls = stage.finish();
  if (result.shortfalls.empty()) result.shortfalls = failed;
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const std::string output = digests_.of_tree(work_ / stage.name);
  digests_.save();
  write_text(note(stage, ".done.json"), dump_json(Json{{"key", key},
                                                       {"output", output},
                                                       {"seconds", result.seconds},
                                                       {"shortfalls", result.shortfalls}},
                                                  {.indent = 2}));
  fs::remove(note(stage, ".begun.json"));
  return result;
}

}  // namespace ditq
