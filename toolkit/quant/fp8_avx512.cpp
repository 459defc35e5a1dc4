// Block quantizers for machines with AVX512; compiled with its flag, called only where it is there (see files.cmake).

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float.h"
#include "quant/fp8_kernels.h"

#if defined(__x86_64__)
namespace {

#include "quant/fp8_kernels.inc.h"

}  // namespace

ditq::fp8::Kernels ditq::fp8::avx512_kernels() {
  return make_kernels("avx512");
}
#endif
