// A library for LD_PRELOAD that stands between a program and libc's file calls and lets chosen ones fail. For tests
// alone: nothing of it is in the program.
//
// DITQ_FAULT=CALLS:ACTION:AT[:PATH]
//   CALLS   names of calls divided by commas, or a class: reads, writes (everything that changes the disk)
//   ACTION  an errno (ENOSPC, EIO, EINTR …), short (half of what was asked for), kill, term, int (that signal before the
//           call), touch or truncate (the file of a read changes under the reader), full (statvfs sees no free space)
//   AT      3: the third such call; 3+: the third and all later ones; 3%: every third
//   PATH    only calls on files whose path holds this text
// DITQ_FAULT_COUNT=FILE gets the number of calls that CALLS and PATH mean, at the program's end.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr const char* kReads = ",pread,read,";
constexpr const char* kWrites =
    ",create,pwrite,write,copy_file_range,fallocate,sync_file_range,fsync,fdatasync,mkdir,rename,"
    "renameat2,unlink,"
    "unlinkat,rmdir,";

struct ErrnoName {
  const char* name;
  int value;
};
constexpr ErrnoName kErrnos[] = {{"ENOSPC", ENOSPC},        {"EIO", EIO},       {"EINTR", EINTR},
                                 {"EROFS", EROFS},          {"EACCES", EACCES}, {"EINVAL", EINVAL},
                                 {"EXDEV", EXDEV},          {"EDQUOT", EDQUOT}, {"ENOLCK", ENOLCK},
                                 {"EOPNOTSUPP", EOPNOTSUPP}};

/// What the environment asks for.
struct Fault {
  std::string calls;
  std::string action;
  unsigned long at = 0;
  char repeat = '\0';
  std::string path;
  std::atomic<unsigned long> seen{0};

  Fault() {
    const char* text = std::getenv("DITQ_FAULT");
    if (text == nullptr) return;
    std::string parts[4];
    std::size_t part = 0;
    for (const char* c = text; *c != '\0'; ++c) {
      if (*c == ':' && part < 3) {
        ++part;
      } else {
        parts[part] += *c;
      }
    }
    calls = parts[0] == "reads" ? kReads : parts[0] == "writes" ? kWrites : "," + parts[0] + ",";
    action = parts[1];
    char* end = nullptr;
    at = std::strtoul(parts[2].c_str(), &end, 10);
    repeat = *end;
    path = parts[3];
  }

  ~Fault() {
    const char* target = std::getenv("DITQ_FAULT_COUNT");
    if (target == nullptr) return;
    const std::string text = std::to_string(seen.load()) + "\n";
    const long file = ::syscall(SYS_openat, AT_FDCWD, target, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::syscall(SYS_write, file, text.data(), text.size());
    ::syscall(SYS_close, file);
  }

  int error() const {
    for (const ErrnoName& known : kErrnos) {
      if (action == known.name) return known.value;
    }
    return 0;
  }
};

Fault& fault() {
  static Fault the_fault;
  return the_fault;
}

// Reads the environment before main, when no other thread is there.
[[gnu::constructor]] void prepare() {
  fault();
}

std::string path_of(int descriptor) {
  char link[64];
  char path[4096];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
  const ssize_t size = ::readlink(link, path, sizeof(path));
  return size < 0 ? "" : std::string(path, static_cast<std::size_t>(size));
}

/// Whether this call is one of the chosen, after counting it.
bool strikes(const char* call, const std::string& path) {
  Fault& chosen = fault();
  if (chosen.calls.find("," + std::string(call) + ",") == std::string::npos) return false;
  if (!chosen.path.empty() && path.find(chosen.path) == std::string::npos) return false;
  const unsigned long number = ++chosen.seen;
  if (chosen.at == 0) return false;
  if (chosen.repeat == '+') return number >= chosen.at;
  if (chosen.repeat == '%') return number % chosen.at == 0;
  return number == chosen.at;
}

/// What a call that was struck does: the errno to fail with, or 0 to go on.
int act(const std::string& path) {
  const Fault& chosen = fault();
  if (chosen.action == "kill") ::kill(::getpid(), SIGKILL);
  if (chosen.action == "term") ::kill(::getpid(), SIGTERM);
  if (chosen.action == "int") ::kill(::getpid(), SIGINT);
  if (chosen.action == "touch") ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  if (chosen.action == "truncate") ::syscall(SYS_truncate, path.c_str(), 100);
  return chosen.error();
}

bool is_short() {
  return fault().action == "short";
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

/// A call on a descriptor that moves `count` bytes and returns how many.
template <typename Call>
ssize_t transfer(const char* name, int descriptor, std::size_t count, const Call& call) {
  const std::string path = path_of(descriptor);
  if (!strikes(name, path)) return call(count);
  if (const int error = act(path)) {
    errno = error;
    return -1;
  }
  return call(is_short() && count > 1 ? count / 2 : count);
}

/// A call that succeeds or fails.
template <typename Call>
int attempt(const char* name, const std::string& path, const Call& call) {
  if (strikes(name, path)) {
    if (const int error = act(path)) {
      errno = error;
      return -1;
    }
  }
  return call();
}

}  // namespace

extern "C" {

ssize_t pread(int fd, void* buffer, size_t count, off_t offset) {
  return transfer("pread", fd, count, [&](std::size_t size) {
    return next<ssize_t (*)(int, void*, size_t, off_t)>("pread")(fd, buffer, size, offset);
  });
}

ssize_t read(int fd, void* buffer, size_t count) {
  return transfer("read", fd, count, [&](std::size_t size) {
    return next<ssize_t (*)(int, void*, size_t)>("read")(fd, buffer, size);
  });
}

ssize_t pwrite(int fd, const void* buffer, size_t count, off_t offset) {
  return transfer("pwrite", fd, count, [&](std::size_t size) {
    return next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite")(fd, buffer, size, offset);
  });
}

ssize_t write(int fd, const void* buffer, size_t count) {
  const auto plain = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (fd <= 2) return plain(fd, buffer, count);
  return transfer("write", fd, count, [&](std::size_t size) { return plain(fd, buffer, size); });
}

ssize_t copy_file_range(int in, off64_t* from, int out, off64_t* to, size_t count, unsigned flags) {
  return transfer("copy_file_range", out, count, [&](std::size_t size) {
    return next<ssize_t (*)(int, off64_t*, int, off64_t*, size_t, unsigned)>("copy_file_range")(
        in, from, out, to, size, flags);
  });
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  return attempt("fallocate", path_of(fd), [&] {
    return next<int (*)(int, int, off_t, off_t)>("fallocate")(fd, mode, offset, length);
  });
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
  return attempt("sync_file_range", path_of(fd), [&] {
    return next<int (*)(int, off64_t, off64_t, unsigned)>("sync_file_range")(fd, offset, length,
                                                                             flags);
  });
}

int fsync(int fd) {
  return attempt("fsync", path_of(fd), [&] { return next<int (*)(int)>("fsync")(fd); });
}

int fdatasync(int fd) {
  return attempt("fdatasync", path_of(fd), [&] { return next<int (*)(int)>("fdatasync")(fd); });
}

int flock(int fd, int operation) {
  return attempt("flock", path_of(fd),
                 [&] { return next<int (*)(int, int)>("flock")(fd, operation); });
}

int mkdir(const char* path, mode_t mode) {
  return attempt("mkdir", path,
                 [&] { return next<int (*)(const char*, mode_t)>("mkdir")(path, mode); });
}

int rmdir(const char* path) {
  return attempt("rmdir", path, [&] { return next<int (*)(const char*)>("rmdir")(path); });
}

int unlink(const char* path) {
  return attempt("unlink", path, [&] { return next<int (*)(const char*)>("unlink")(path); });
}

int unlinkat(int folder, const char* path, int flags) {
  return attempt("unlinkat", path_of(folder) + "/" + path, [&] {
    return next<int (*)(int, const char*, int)>("unlinkat")(folder, path, flags);
  });
}

int rename(const char* from, const char* to) {
  return attempt("rename", to,
                 [&] { return next<int (*)(const char*, const char*)>("rename")(from, to); });
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  return attempt("renameat2", to, [&] {
    return next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(
        from_folder, from, to_folder, to, flags);
  });
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : mode_t{0};
  va_end(arguments);
  return attempt((flags & O_CREAT) != 0 ? "create" : "open", path,
                 [&] { return next<int (*)(const char*, int, ...)>("open")(path, flags, mode); });
}

int statvfs(const char* path, struct statvfs* status) {
  const bool struck = strikes("statvfs", path);
  const int result = next<int (*)(const char*, struct statvfs*)>("statvfs")(path, status);
  if (struck && fault().action == "full") status->f_bavail = 0;
  return result;
}

}  // extern "C"
