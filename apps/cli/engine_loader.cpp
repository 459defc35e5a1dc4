#include "engine_loader.h"

#include <cstdlib>
#include <filesystem>

#include <dlfcn.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libditq_engine.so";

/// The folder of the running program, or nothing where /proc is not mounted.
fs::path program_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : program.parent_path();
}

template <typename Function>
Function symbol(void* library, const char* name, const std::string& path) {
  void* address = ::dlsym(library, name);
  if (address == nullptr) {
    throw Error(ErrorCode::engine_missing, "the engine library is not one of ditq's",
                {.path = path, .expected = name});
  }
  return reinterpret_cast<Function>(address);
}

std::string existing_candidate() {
  for (const std::string& path : engine_candidates()) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) return path;
  }
  return {};
}

/// Waiting threads of libgomp spin for milliseconds unless told otherwise, which makes a run several times slower on busy
/// cores; without any spinning the many small operations of a step wait for the kernel (docs/performance.md). Spinning
/// for some 30 µs has neither cost. Read when the library loads, so it is set before that; the user's choice stays.
void let_waiting_threads_sleep() {
  if (::getenv("OMP_WAIT_POLICY") != nullptr || ::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  ::setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
}

/// DITQ_LIBTORCH names a folder that holds torch/ and nvidia/ side by side, such as the site-packages of a Python with
/// torch 2.11. Its libraries are loaded first, so that the engine finds them in the process, wherever it was built.
void load_named_libtorch() {
  const char* folder = ::getenv("DITQ_LIBTORCH");
  if (folder == nullptr || *folder == '\0') return;
  for (const char* name :
       {"nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcupti.so.13",
        "torch/lib/libgomp.so.1", "torch/lib/libc10.so", "torch/lib/libtorch_cpu.so"}) {
    const std::string path = (fs::path(folder) / name).string();
    if (::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) continue;
    const char* reason = ::dlerror();
    throw Error(ErrorCode::engine_missing, "the libtorch that DITQ_LIBTORCH names does not load",
                {.path = path,
                 .found = reason == nullptr ? "" : reason,
                 .advice = "It must be torch 2.11; unset the variable to use ditq's own"});
  }
}

Engine& open_engine() {
  let_waiting_threads_sleep();
  load_named_libtorch();
  std::string path = existing_candidate();
  const bool beside = !path.empty();
  if (!beside) path = kLibrary;
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = ::dlerror();
    throw Error(ErrorCode::engine_missing,
                beside ? "the engine that runs networks does not load"
                       : "this subcommand runs networks, and this ditq has no engine",
                {.path = beside ? path : "",
                 .found = beside && reason != nullptr ? reason : "",
                 .advice = "Build it with 'scripts/build release'; it brings its own libtorch"});
  }
  const int interface = symbol<int (*)()>(library, "ditq_engine_interface", path)();
  if (interface != kEngineInterface) {
    throw Error(ErrorCode::engine_missing, "the engine library is of another build",
                {.path = path,
                 .expected = fmt::format("interface {}", kEngineInterface),
                 .found = std::to_string(interface),
                 .advice = "Build the program and the engine together: 'scripts/build release'"});
  }
  log_verbose("engine: " + path);
  return *symbol<Engine* (*)()>(library, "ditq_engine", path)();
}

}  // namespace

std::vector<std::string> engine_candidates() {
  const fs::path folder = program_folder();
  if (folder.empty()) return {};
  return {(folder / "../lib" / kLibrary).lexically_normal().string(),
          (folder / ".." / DITQ_LIBRARY_FOLDER / kLibrary).lexically_normal().string()};
}

bool engine_is_installed() {
  return !existing_candidate().empty();
}

Engine& load_engine() {
  static Engine& engine = open_engine();
  return engine;
}

}  // namespace ditq
