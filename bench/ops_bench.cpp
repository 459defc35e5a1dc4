// Rates of the CPU's matrix products and attention, fast path beside reference, at FLUX.1's shapes.
// items_per_second is FLOP/s: compare with the peak of the machine's bf16 dot products.

#include <benchmark/benchmark.h>

#include "ops/attention.h"
#include "ops/gemm.h"
#include "tensor/create.h"

namespace ditq {
namespace {

/// Rows, output features, input features: the tiny model's linears, then FLUX.1-dev's at 1024 x 1024.
void gemm_shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"M", "N", "K"});
  bench->Args({320, 256, 256})
      ->Args({320, 1024, 256})
      ->Args({320, 256, 1280})
      ->Args({4608, 3072, 3072});
  bench->UseRealTime();
}

void report_flops(benchmark::State& state, std::int64_t flops) {
  state.SetItemsProcessed(state.iterations() * flops);
}

void gemm_panels(benchmark::State& state) {
  const Tensor x = normal(1, {state.range(0), state.range(2)}, at::kBFloat16);
  const PackedWeight weight(normal(2, {state.range(1), state.range(2)}, at::kBFloat16));
  const Tensor out = empty({state.range(0), state.range(1)}, at::kBFloat16);
  for (auto _ : state) gemm(x, weight, {}, out);
  report_flops(state, 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(gemm_panels)->Apply(gemm_shapes);

void gemm_reference(benchmark::State& state) {
  const Tensor x = normal(1, {state.range(0), state.range(2)}, at::kBFloat16);
  const Tensor weight = normal(2, {state.range(1), state.range(2)}, at::kBFloat16);
  for (auto _ : state) benchmark::DoNotOptimize(reference::gemm(x, weight, {}, at::kBFloat16));
  report_flops(state, 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(gemm_reference)->Apply(gemm_shapes);

void attention_shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"heads", "tokens"})
      ->Args({2, 320})
      ->Args({2, 768})
      ->Args({24, 4608})
      ->UseRealTime();
}

template <
    Tensor (*kAttention)(const Tensor&, const Tensor&, const Tensor&, const AttentionOptions&)>
void attention_rate(benchmark::State& state) {
  const auto part = [&](std::uint64_t seed) {
    return normal(seed, {1, state.range(1), state.range(0), 128}, at::kBFloat16).transpose(1, 2);
  };
  const Tensor q = part(1);
  const Tensor k = part(2);
  const Tensor v = part(3);
  for (auto _ : state) benchmark::DoNotOptimize(kAttention(q, k, v, {}));
  report_flops(state, 4 * state.range(0) * state.range(1) * state.range(1) * 128);
}
BENCHMARK(attention_rate<attention>)->Apply(attention_shapes);
BENCHMARK(attention_rate<reference::attention>)->Apply(attention_shapes);

}  // namespace
}  // namespace ditq
