#include "base/direct_io.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/system_call.h"

namespace ditq {

DirectDescriptor::~DirectDescriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int DirectDescriptor::get() {
  std::call_once(once_, [this] {
    // Through /proc it is the same file, whatever its name means by now.
    const std::string path = "/proc/self/fd/" + std::to_string(plain_);
    descriptor_ = uninterrupted([&] { return ::open(path.c_str(), mode_ | O_DIRECT | O_CLOEXEC); });
  });
  return descriptor_;
}

bool is_cached(int descriptor, std::uint64_t offset, std::uint64_t size) {
  const auto length = static_cast<std::size_t>(align_up(size));
  // The mapping is only asked about: nothing of it becomes resident.
  void* address =
      ::mmap(nullptr, length, PROT_READ, MAP_SHARED, descriptor, static_cast<off_t>(offset));
  if (address == MAP_FAILED) return false;
  std::vector<unsigned char> pages(length / kDirectAlignment);
  const bool known = ::mincore(address, length, pages.data()) == 0;
  ::munmap(address, length);
  const auto resident = std::count_if(pages.begin(), pages.end(),
                                      [](unsigned char page) { return (page & 1U) != 0; });
  return known && static_cast<std::size_t>(resident) * 2 > pages.size();
}

}  // namespace ditq
