#pragma once
// Small helpers that the container tests share.

#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace ditq::test {

/// Writes bytes as a new file. An old one is removed first: replacing content in place makes some
/// file systems flush, which costs a test of a thousand files a minute.
inline void put_file(const std::string& path, std::string_view bytes) {
  std::remove(path.c_str());
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// A file's bytes.
inline std::string get_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The Error that `action` raises, or nothing.
inline std::optional<Error> error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

/// The name of the code that `action` raises, or "ok".
inline std::string code_of(const std::function<void()>& action) {
  const auto error = error_of(action);
  return error ? std::string(name(error->code())) : "ok";
}

/// A safetensors file from its header text and data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, sizeof(length));
  out += header;
  out += data;
  return out;
}

/// Bytes of any object as text.
inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Text as bytes.
inline Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace ditq::test
