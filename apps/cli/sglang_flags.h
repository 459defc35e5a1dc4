#pragma once
// Flags of SGLang's command line that ditq knows by name only: command lines written for SGLang run as long as what
// they ask for is what ditq does anyway, and are refused by name otherwise.

#include <string>
#include <vector>

#include "flags.h"

namespace ditq {

/// Declares these flags, hidden from the help, and judges what was given.
class SglangFlags {
 public:
  explicit SglangFlags(Flags& flags);
  ~SglangFlags();
  SglangFlags(const SglangFlags&) = delete;
  SglangFlags& operator=(const SglangFlags&) = delete;

  /// To be called after parsing. Says once, on stderr, which given flags have no effect.
  /// Errors: unsupported, naming the flag and the reason.
  void check() const;

  /// For the help's end: which flags are accepted in this way.
  static std::string help();

 private:
  struct Given;
  Flags& flags_;
  std::vector<Given> given_;
};

}  // namespace ditq
