#include "pipeline/engine.h"

#include <c10/util/Exception.h>
#include <malloc.h>

#include "base/error.h"
#include "pipeline/bench.h"
#include "pipeline/calibrate.h"
#include "pipeline/compare.h"
#include "pipeline/generate.h"
#include "pipeline/tune.h"
#include "pipeline/unify_svdquant.h"
#include "pipeline/versions.h"

namespace ditq {
namespace {

/// Torch's exceptions become ours here, at the border.
template <typename Call>
auto guarded(const Call& call) {
  try {
    return call();
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(
        ErrorCode::out_of_memory, error.what_without_backtrace(),
        {.advice = "A smaller --height and --width, an FP8 transformer as --transformer-path, or "
                   "--device cpu take less"});
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    const bool memory = what.find("can't allocate memory") != std::string::npos;
    throw Error(memory ? ErrorCode::out_of_memory : ErrorCode::device,
                memory ? "not enough memory: " + what : "libtorch: " + what);
  }
}

class TorchEngine : public Engine {
 public:
  /// Intermediate tensors are freed and asked for again at every layer; by default glibc would give those above 128 kB
  /// back to the kernel each time, and every page of them would fault again.
  TorchEngine() {
    constexpr int kKeep = 1 << 30;
    mallopt(M_MMAP_THRESHOLD, kKeep);
    mallopt(M_TRIM_THRESHOLD, kKeep);
  }

  GenerateResult generate(const GenerateRequest& request) override {
    return guarded([&] { return ditq::generate(request); });
  }
  CompareResult compare(const CompareRequest& request) override {
    return guarded([&] { return ditq::compare(request); });
  }
  BenchResult bench(const BenchRequest& request) override {
    return guarded([&] { return ditq::bench(request); });
  }
  TuneResult tune(const TuneRequest& request) override {
    return guarded([&] { return ditq::tune(request); });
  }
  CalibrateResult calibrate(const CalibrateRequest& request) override {
    return guarded([&] { return ditq::calibrate(request); });
  }
  void unify_svdquant(const UnifySvdquantRequest& request) override {
    guarded([&] { ditq::unify_svdquant(request); });
  }
  EngineInfo info() override { return engine_info(); }
};

}  // namespace
}  // namespace ditq

int ditq_engine_interface() {
  return ditq::kEngineInterface;
}

ditq::Engine* ditq_engine() {
  static ditq::TorchEngine engine;
  return &engine;
}
