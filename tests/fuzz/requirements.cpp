// The expression of `ditq compare --require`.

#include "pipeline/requirements.h"

#include <cmath>

#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ditq;
  fuzz::read("--require", [&] {
    for (const Requirement& bar : parse_requirements(std::string(fuzz::text_of(data, size)),
                                                     {.trajectory = true, .frames = true})) {
      fuzz::require(std::isfinite(bar.bar), "a bar is a finite number");
      fuzz::require(bar.op == ">=" || bar.op == "<=" || bar.op == ">" || bar.op == "<",
                    "an operator is one of four");
    }
  });
  return 0;
}
