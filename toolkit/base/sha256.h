#pragma once
// SHA-256, by OpenSSL's libcrypto.

#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace ditq {

/// A digest that grows with the bytes it is given.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(Bytes bytes);
  void update(std::string_view text);
  /// 64 lower-case hexadecimal digits; the digest starts anew afterwards.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ditq
