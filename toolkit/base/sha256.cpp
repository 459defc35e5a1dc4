#include "base/sha256.h"

#include <array>
#include <span>

#include <openssl/evp.h>

#include "base/error.h"

namespace ditq {

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};

  void start() const { check(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr)); }
  static void check(int result) {
    if (result == 1) return;
    throw Error(ErrorCode::unsupported, "OpenSSL's library gives no SHA-256 here");
  }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->start();
}

Sha256::~Sha256() = default;

void Sha256::update(Bytes bytes) {
  State::check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text)));
}

std::string Sha256::finish() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  State::check(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size));
  DITQ_ASSERT(size == digest.size());
  state_->start();
  std::string out;
  for (const unsigned char byte : digest) {
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

}  // namespace ditq
