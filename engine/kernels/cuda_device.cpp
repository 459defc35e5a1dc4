#include "kernels/cuda_device.h"

#include <filesystem>
#include <string_view>

#include <dlfcn.h>
#include <link.h>

#include "base/error.h"
#include "base/log.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "libditq_cuda.so";

std::string last_error() {
  const char* reason = ::dlerror();
  return reason == nullptr ? "unknown reason" : reason;
}

/// The file that holds the code or data at `address`.
fs::path library_of(const void* address) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const fs::path path = fs::canonical(info.dli_fname, error);
  return error ? fs::path(info.dli_fname) : path;
}

/// Number of devices, by the driver alone: libtorch's CUDA libraries (2.6 GB of files) are opened only if there are any.
int count_devices(std::string& reason) {
  void* driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    reason = "no NVIDIA driver (" + last_error() + ")";
    return 0;
  }
  const auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuDeviceGetCount"));
  int devices = 0;
  if (init == nullptr || count == nullptr || init(0) != 0 || count(&devices) != 0) devices = 0;
  if (devices == 0) reason = "the NVIDIA driver finds no device";
  return devices;
}

/// The folder of the libtorch that this process has loaded.
fs::path libtorch_folder() {
  std::string found;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        const std::string_view name = info->dlpi_name;
        if (name.ends_with("/libtorch_cpu.so")) *static_cast<std::string*>(out) = name;
        return 0;
      },
      &found);
  return fs::path(found).parent_path();
}

/// libtorch's CUDA half lies beside the half that is loaded. Opened first, by its path, it satisfies the module's need
/// of it wherever that folder is.
bool open_libtorch_cuda(std::string& reason) {
  const fs::path folder = libtorch_folder();
  for (const char* name : {"libc10_cuda.so", "libtorch_cuda.so"}) {
    if (::dlopen((folder / name).c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) continue;
    reason = "libtorch's CUDA libraries do not load (" + last_error() + ")";
    return false;
  }
  return true;
}

CudaDevice* open_module(std::string& reason) {
  // Beside the engine's library, which holds this function.
  const fs::path folder = library_of(reinterpret_cast<const void*>(&find_cuda)).parent_path();
  const std::string path = (folder / kModule).string();
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    reason = "this build has no CUDA: scripts/build cuda makes one that has";
    return nullptr;
  }
  if (!open_libtorch_cuda(reason)) return nullptr;
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    reason = "the CUDA module does not load (" + last_error() + ")";
    return nullptr;
  }
  const auto interface = reinterpret_cast<int (*)()>(::dlsym(module, "ditq_cuda_interface"));
  const auto device = reinterpret_cast<CudaDevice* (*)()>(::dlsym(module, "ditq_cuda_device"));
  if (interface == nullptr || device == nullptr || interface() != kCudaInterface) {
    reason = path + " is of another build";
    return nullptr;
  }
  log_verbose("CUDA module: " + path);
  return device();
}

struct Found {
  CudaDevice* device = nullptr;
  std::string reason;

  Found() {
    if (count_devices(reason) > 0) device = open_module(reason);
  }
};

const Found& found() {
  static const Found once;
  return once;
}

}  // namespace

CudaDevice* find_cuda() {
  return found().device;
}

const std::string& why_no_cuda() {
  return found().reason;
}

CudaDevice& cuda() {
  DITQ_ASSERT(found().device != nullptr);
  return *found().device;
}

}  // namespace ditq
