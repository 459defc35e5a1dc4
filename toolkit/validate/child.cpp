#include "validate/child.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/system_call.h"

namespace ditq {
namespace {

/// In the child: never returns.
[[noreturn]] void become(char* const* words, int output, pid_t parent) {
  // The parent may have ended before the request was made.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(125);
  if (::dup2(output, STDOUT_FILENO) < 0) ::_exit(126);
  ::execv(words[0], words);
  ::_exit(127);
}

/// Whether a signal has asked this process to end.
bool is_interrupted() {
  try {
    check_interrupt();
    return false;
  } catch (const Error&) {
    return true;
  }
}

int wait_for(pid_t child) {
  int status = 0;
  bool passed_on = false;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return 125;
    // A signal of the terminal has reached the child too; one sent to this process alone has not.
    if (!passed_on && is_interrupted()) {
      ::kill(child, SIGTERM);
      passed_on = true;
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool is_plain(const std::string& word) {
  constexpr const char* kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./=:,@%+";
  return !word.empty() && word.find_first_not_of(kPlain) == std::string::npos;
}

}  // namespace

int run_child(const std::string& program,
              const std::vector<std::string>& arguments,
              const std::string& output) {
  const int file = uninterrupted(
      [&] { return ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644); });
  if (file < 0) {
    throw Error(ErrorCode::storage, "cannot be written",
                {.path = output, .found = std::strerror(errno)});
  }
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) become(words.data(), file, parent);
  const int fork_error = errno;
  ::close(file);
  if (child < 0) {
    throw Error(ErrorCode::storage, "a process cannot be started",
                {.path = program, .found = std::strerror(fork_error)});
  }
  const int code = wait_for(child);
  check_interrupt();
  return code;
}

std::string running_program() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    throw Error(ErrorCode::storage, "the running program cannot be found",
                {.path = "/proc/self/exe", .found = error.message()});
  }
  return program.string();
}

std::string shell_words(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    if (is_plain(word)) {
      out += word;
      continue;
    }
    out += '\'';
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += '\'';
  }
  return out;
}

}  // namespace ditq
