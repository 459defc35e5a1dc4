#include "media/video.h"

#include <filesystem>

#include <dlfcn.h>

#include "base/error.h"
#include "base/log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "libditq_video.so";

using Open = FrameSource* (*)(const char*);

[[noreturn]] void refuse(const std::string& found, const std::string& advice) {
  throw Error(
      ErrorCode::unsupported, "videos are read by FFmpeg's libraries, which are not here",
      {.found = found, .advice = advice + "; a folder of PNG files holds the frames without them"});
}

/// Beside the toolkit's library, which holds this function.
std::string module_path() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&open_video), &info) == 0) return kModule;
  std::error_code error;
  const fs::path library = fs::canonical(info.dli_fname, error);
  return (library.parent_path() / kModule).string();
}

Open load_module() {
  const std::string path = module_path();
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    refuse("this build has no " + std::string(kModule),
           "Install libavformat-dev, libavcodec-dev, libswscale-dev and libavutil-dev and build "
           "again");
  }
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    const char* reason = ::dlerror();
    refuse(reason == nullptr ? "" : reason,
           "Install libavformat59, libavcodec59, libswscale6 and libavutil57");
  }
  const auto interface = reinterpret_cast<int (*)()>(::dlsym(module, "ditq_video_interface"));
  const auto open = reinterpret_cast<Open>(::dlsym(module, "ditq_video_open"));
  if (interface == nullptr || open == nullptr || interface() != kVideoInterface) {
    refuse(path + " is of another build", "Build the program and the module together");
  }
  log_verbose("video module: " + path);
  return open;
}

}  // namespace

std::unique_ptr<FrameSource> open_video(const std::string& path) {
  static const Open open = load_module();
  return std::unique_ptr<FrameSource>(open(path.c_str()));
}

}  // namespace ditq
