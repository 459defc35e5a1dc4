// Block quantizers for any machine.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float.h"
#include "quant/fp8_kernels.h"

namespace {

#include "quant/fp8_kernels.inc.h"

}  // namespace

ditq::fp8::Kernels ditq::fp8::portable_kernels() {
  return make_kernels("portable");
}
