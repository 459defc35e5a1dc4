#pragma once
// The flags of `ditq quantize` that ModelOpt does not have: what ptq/beyond.h offers.

#include <string>

#include "flags.h"
#include "ptq/beyond.h"

namespace ditq {

/// Declares and reads them; lives until they are parsed.
class BeyondFlags {
 public:
  void declare(Flags& flags);
  /// Errors: usage.
  BeyondModelopt read() const;

 private:
  std::string granularity_ = "tensor";
  std::string clip_ = "none";
  bool weights_only_ = false;
};

}  // namespace ditq
