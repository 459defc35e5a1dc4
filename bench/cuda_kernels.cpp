#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "cuda_bench.h"
#include "kernels/cuda_device.h"
#include "nn/linear_kernel.h"
#include "ops/attention.h"
#include "ops/attention_fp8.h"
#include "ops/joint_attention.h"
#include "ops/linear.h"
#include "ops/modulate.h"
#include "ops/nvfp4.h"
#include "ops/positions.h"
#include "ops/quantize.h"
#include "ops/rope.h"
#include "support/cuda_cases.h"
#include "tensor/create.h"

namespace ditq::bench {
namespace {

const at::Device kGpu(at::kCUDA, 0);

double tera(double count, double milliseconds) {
  return count / milliseconds * 1e-9;
}

/// Buffers in turn, so that none is still in the L2 cache from the call before.
constexpr std::size_t kTurns = 4;

Json row(const std::string& name, double milliseconds, double bytes, const Json& ceilings) {
  const double rate = tera(bytes, milliseconds);
  return {{"kernel", name},
          {"ms", milliseconds},
          {"TB/s", rate},
          {"% of copy", 100 * rate / ceilings["copy TB/s"].get<double>()}};
}

Json norm_row(const test::NormCase& c, const Json& ceilings) {
  std::vector<Tensor> x, y;
  for (std::size_t i = 0; i < kTurns; ++i) {
    x.push_back(device_normal(i, {c.batch, c.tokens, c.width}));
    y.push_back(device_normal(i + 9, {c.batch, c.tokens, c.width}));
  }
  const Tensor mods = device_normal(3, {c.batch, 3 * c.width}).mul(0.01);
  const auto part = [&](std::int64_t i) { return mods.narrow(1, i * c.width, c.width); };
  std::size_t turn = 0;
  const double ms = time_device(
      [&] {
        const std::size_t i = turn++ % kTurns;
        const GatedUpdate update = c.update ? GatedUpdate{part(2), y[i]} : GatedUpdate{};
        add_gated_layer_norm_modulate(x[i], update, part(0), part(1),
                                      {.e4m3 = c.e4m3, .scale = c.e4m3 ? 0.02F : 1.0F});
      },
      40);
  const double values = static_cast<double>(c.batch * c.tokens * c.width);
  const double bytes = values * (2 + (c.update ? 4 : 0) + (c.e4m3 ? 1 : 2));
  return row(fmt::format("norm_modulate {}x{}{}{}", c.tokens, c.width, c.update ? " +update" : "",
                         c.e4m3 ? " ->e4m3" : ""),
             ms, bytes, ceilings);
}

Json rope_row(const test::RopeCase& c, const Json& ceilings) {
  std::vector<Tensor> qkv;
  for (std::size_t i = 0; i < kTurns; ++i) {
    qkv.push_back(device_normal(i, {c.batch, c.tokens, 3, c.heads, c.head_dim}));
  }
  const Tensor weight = device_normal(3, {c.head_dim});
  const Rope rope = make_rope(grid_positions(0, c.tokens, 1), {16, 56, 56}, 10000).to(kGpu);
  std::size_t turn = 0;
  const double ms = time_device(
      [&] {
        const Tensor& all = qkv[turn++ % kTurns];
        joint_norm_rope({.q = all.select(2, 0),
                         .k = all.select(2, 1),
                         .text_tokens = c.text,
                         .text_q = weight,
                         .text_k = weight,
                         .image_q = weight,
                         .image_k = weight},
                        rope);
      },
      40);
  const double values = static_cast<double>(c.batch * c.tokens * c.heads * c.head_dim);
  return row(fmt::format("qk_norm_rope {}x{}x{}", c.tokens, c.heads, c.head_dim), ms, values * 8,
             ceilings);
}

Json quantize_row(const test::QuantizeCase& c, const Json& ceilings) {
  std::vector<Tensor> x, out;
  for (std::size_t i = 0; i < kTurns; ++i) {
    x.push_back(device_normal(i, {c.rows, c.x_stride}).narrow(1, 0, c.columns));
    out.push_back(empty({c.rows, c.out_stride}, at::kFloat8_e4m3fn, kGpu).narrow(1, 0, c.columns));
  }
  std::size_t turn = 0;
  const double ms = time_device(
      [&] {
        const std::size_t i = turn++ % kTurns;
        quantize_into(x[i], 0.02F, c.gelu, out[i]);
      },
      40);
  return row(fmt::format("quantize {}x{}{}", c.rows, c.columns, c.gelu ? " gelu" : ""), ms,
             static_cast<double>(c.rows * c.columns) * 3, ceilings);
}

/// norm, rope and quantization in front of FP8 attention, the values' scale found on the way.
Json rope_codes_row(const test::RopeCase& c, const Json& ceilings) {
  std::vector<Tensor> qkv;
  for (std::size_t i = 0; i < kTurns; ++i) {
    qkv.push_back(device_normal(i, {c.batch, c.tokens, 3, c.heads, c.head_dim}));
  }
  const Tensor weight = device_normal(3, {c.head_dim});
  const Rope rope = make_rope(grid_positions(0, c.tokens, 1), {16, 56, 56}, 10000).to(kGpu);
  const AttentionScales scales(0.03F, 0.03F, 0, kGpu);
  const Tensor found = filled({3}, 0, at::kFloat, kGpu);
  std::size_t turn = 0;
  const double ms = time_device(
      [&] {
        const Tensor& all = qkv[turn++ % kTurns];
        joint_norm_rope_e4m3({.q = all.select(2, 0),
                              .k = all.select(2, 1),
                              .text_tokens = c.text,
                              .text_q = weight,
                              .text_k = weight,
                              .image_q = weight,
                              .image_k = weight},
                             all.select(2, 2), rope, scales, found);
      },
      40);
  const double values = static_cast<double>(c.batch * c.tokens * c.heads * c.head_dim);
  // Values are read twice: once for their scale.
  return row(fmt::format("qkv_norm_rope {}x{}x{} ->e4m3", c.tokens, c.heads, c.head_dim), ms,
             values * 11, ceilings);
}

Json attention_result(const std::string& name,
                      std::int64_t tokens,
                      double milliseconds,
                      double ceiling) {
  const double rate = tera(4.0 * 24 * 128 * static_cast<double>(tokens * tokens), milliseconds);
  return {{"kernel", fmt::format("attention {} {}", tokens, name)},
          {"ms", milliseconds},
          {"TFLOP/s", rate},
          {"% of product", 100 * rate / ceiling}};
}

void add_attention_rows(std::int64_t tokens, const Json& ceilings, Json& rows) {
  const int repeats = tokens > 10000 ? 4 : 20;
  const Tensor all = device_normal(1, {1, tokens, 3, 24, 128});
  const auto heads = [&](std::int64_t i) { return all.select(2, i); };
  const auto part = [&](std::int64_t i) { return heads(i).transpose(1, 2); };
  const Tensor q = part(0), k = part(1), v = part(2);
  const double bf16 = ceilings["bf16 TFLOP/s"].get<double>();
  const auto own = [&](const char* name, at::ScalarType type, const JointForms& forms) {
    const Tensor out = empty({1, tokens, 15360}, type, kGpu).narrow(2, 0, 3072);
    const auto run = [&] { joint_attention(heads(0), heads(1), heads(2), forms, out); };
    rows.push_back(attention_result(name, tokens, time_device(run, repeats), bf16));
  };
  own("bf16", at::kBFloat16, {});
  own("bf16 ->e4m3", at::kFloat8_e4m3fn, {.image = {.e4m3 = true, .scale = 0.01F}});
  rows.push_back(attention_result("bf16 cuDNN", tokens,
                                  time_device([&] { attention(q, k, v); }, repeats), bf16));
  rows.push_back(attention_result("bf16 torch's choice", tokens,
                                  time_device([&] { reference::attention(q, k, v); }, repeats),
                                  bf16));
  const AttentionExtents extents{
      .batch = 1, .tokens = tokens, .heads = 24, .head_dim = 128, .out_row_stride = 15360};
  const std::string why_not = why_no_attention_e4m3(extents, kGpu, at::kBFloat16);
  if (!why_not.empty()) {
    rows.push_back({{"kernel", fmt::format("attention {} fp8", tokens)}, {"not", why_not}});
    return;
  }
  const Tensor codes = to_form(device_normal(4, {tokens, 9216}), {.e4m3 = true, .scale = 0.03F})
                           .view({1, tokens, 3, 24, 128});
  const QkvCodes qkv{.q = codes.select(2, 0),
                     .k = codes.select(2, 1),
                     .v = codes.select(2, 2),
                     .v_scale = from_values(std::vector<float>{0.03F, 33.3F}).to(kGpu)};
  const AttentionScales scales(0.03F, 0.03F, 0, kGpu);
  const Tensor out = empty({1, tokens, 15360}, at::kFloat8_e4m3fn, kGpu).narrow(2, 0, 3072);
  rows.push_back(attention_result("fp8", tokens,
                                  time_device([&] { attention_e4m3(qkv, scales, out); }, repeats),
                                  ceilings["fp8 TFLOP/s"].get<double>()));
}

/// A packed NVFP4 weight to bf16, in front of its product.
Json expand_row(std::int64_t n, std::int64_t k, const Json& ceilings) {
  std::vector<Tensor> codes, scales;
  for (std::size_t i = 0; i < kTurns; ++i) {
    codes.push_back(device_normal(i, {n, k / 4}).view(at::kByte));
    scales.push_back(device_normal(i + 9, {n, k / 32}).view(at::kByte));
  }
  std::size_t turn = 0;
  const double ms = time_device(
      [&] {
        const std::size_t i = turn++ % kTurns;
        dequantize_nvfp4(codes[i], scales[i]);
      },
      40);
  return row(fmt::format("expand nvfp4 {}x{}", n, k), ms,
             static_cast<double>(n * k) * (2 + 0.5 + 1.0 / 16), ceilings);
}

/// A product as the engine runs it, with its operands.
struct Product {
  Tensor x, weight, bias, out, weight_scale, input_scale, out_scale;
  GemmProblem problem;
};

struct ProductKind {
  const char* name;
  bool e4m3, rows, gelu, codes_out;
};

constexpr ProductKind kKinds[] = {
    {"bf16", false, false, false, false},    {"bf16 gelu", false, false, true, false},
    {"e4m3", true, false, false, false},     {"e4m3 rows", true, true, false, false},
    {"e4m3 gelu", true, false, true, false}, {"e4m3 gelu ->e4m3", true, false, true, true}};

Product make_product(const test::LinearCase& c, const ProductKind& kind) {
  const auto typed = [&](const Tensor& x, float scale) {
    return kind.e4m3 ? to_form(x, {.e4m3 = true, .scale = scale}) : x;
  };
  Product p;
  p.x = typed(device_normal(1, {c.m, c.k}), 0.03F);
  p.weight = typed(device_normal(2, {c.n, c.k}), 0.012F);
  p.bias = device_normal(3, {c.n});
  const std::int64_t out_stride = c.out_stride == 0 ? c.n : c.out_stride;
  p.out = empty({c.m, out_stride}, kind.codes_out ? at::kFloat8_e4m3fn : at::kBFloat16, kGpu);
  p.weight_scale = filled({kind.rows ? c.n : 1}, 0.0003, at::kFloat, kGpu);
  p.input_scale = filled({kind.rows ? c.m : 1}, 0.03, at::kFloat, kGpu);
  p.out_scale = filled({1}, 30, at::kFloat, kGpu);
  const auto type = kind.e4m3 ? GemmType::e4m3 : GemmType::bf16;
  p.problem = {.m = c.m,
               .n = c.n,
               .k = c.k,
               .type = type,
               .x = p.x.const_data_ptr(),
               .x_stride = c.k,
               .weight = p.weight.const_data_ptr(),
               .bias = p.bias.const_data_ptr(),
               .weight_scale = p.weight_scale.const_data_ptr<float>(),
               .input_scale = p.input_scale.const_data_ptr<float>(),
               .row_scales = kind.rows,
               .gelu = kind.gelu,
               .out = p.out.data_ptr(),
               .out_stride = out_stride,
               .out_type = kind.codes_out ? GemmType::e4m3 : GemmType::bf16,
               .out_scale = p.out_scale.const_data_ptr<float>()};
  return p;
}

std::string name_of(const test::LinearCase& c, const ProductKind& kind) {
  return fmt::format("{}x{}x{} {}", c.m, c.n, c.k, kind.name);
}

Json gemm_row(const test::LinearCase& c, const ProductKind& kind) {
  const Product p = make_product(c, kind);
  Json out = {{"gemm", name_of(c, kind)}};
  const std::string why_not = cuda().why_not(p.problem);
  if (!why_not.empty()) {
    out["not"] = why_not;
    return out;
  }
  const double flops = 2.0 * static_cast<double>(c.m) * static_cast<double>(c.n * c.k);
  const double ms = time_device([&] { cuda().gemm(p.problem); }, 20);
  out["ms"] = ms;
  out["TFLOP/s"] = tera(flops, ms);
  return out;
}

/// What saturation does to values beyond 448 in a product that writes E4M3: the code of a large value, 126 if clamped.
int saturated_code() {
  const test::LinearCase c{64, 64, 64};
  Product p = make_product(c, kKinds[5]);
  if (!cuda().why_not(p.problem).empty()) return -1;
  p.out_scale.fill_(1e9);
  cuda().gemm(p.problem);
  const Tensor codes = p.out.cpu();
  int largest = 0;
  const auto* bytes = static_cast<const std::uint8_t*>(codes.const_data_ptr());
  for (std::int64_t i = 0; i < codes.numel(); ++i) largest = std::max(largest, bytes[i] & 0x7F);
  return largest;
}

}  // namespace

double time_device(const std::function<void()>& call, int repeats) {
  constexpr int kRounds = 5;
  for (int i = 0; i < 3; ++i) call();
  // As the network runs them: from a graph, so that the host's time for a launch is not in the figure.
  const auto graph = cuda().capture([&] {
    for (int i = 0; i < repeats; ++i) call();
  });
  graph->replay();
  std::vector<double> times;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = cuda().record();
    graph->replay();
    const auto end = cuda().record();
    end->wait();
    times.push_back(end->milliseconds_since(*begin) / repeats);
  }
  std::sort(times.begin(), times.end());
  return times[kRounds / 2];
}

Tensor device_normal(std::uint64_t seed, at::IntArrayRef shape) {
  return normal(seed, shape, at::kBFloat16, kGpu);
}

Json measure_ceilings() {
  const std::int64_t bytes = std::int64_t{1} << 31;
  const Tensor from = device_normal(1, {bytes / 2});
  const Tensor to = empty(from.sizes(), at::kBFloat16, kGpu);
  // Not from a graph: a copy is no kernel there.
  to.copy_(from);
  const auto begin = cuda().record();
  for (int i = 0; i < 10; ++i) to.copy_(from);
  const auto end = cuda().record();
  end->wait();
  const double copy = end->milliseconds_since(*begin) / 10;
  const Tensor a = device_normal(2, {8192, 8192});
  const Tensor b = device_normal(3, {8192, 8192});
  const double product = time_device([&] { linear(a, b, {}); }, 20);
  const Json fp8 = gemm_row({8192, 8192, 8192}, kKinds[2]);
  const double flops = 2.0 * 8192 * 8192 * 8192;
  return {{"copy TB/s", tera(2.0 * static_cast<double>(bytes), copy)},
          {"bf16 TFLOP/s", tera(flops, product)},
          {"fp8 TFLOP/s", fp8.contains("TFLOP/s") ? fp8["TFLOP/s"] : Json(nullptr)}};
}

Json measure_kernels(const Json& ceilings) {
  Json rows = Json::array();
  for (const auto& c : test::kNormCases) {
    if (c.timed) rows.push_back(norm_row(c, ceilings));
  }
  for (const auto& c : test::kRopeCases) {
    if (!c.timed) continue;
    rows.push_back(rope_row(c, ceilings));
    rows.push_back(rope_codes_row(c, ceilings));
  }
  for (const auto& c : test::kQuantizeCases) {
    if (c.timed) rows.push_back(quantize_row(c, ceilings));
  }
  for (const std::int64_t tokens : {4608, 32768}) add_attention_rows(tokens, ceilings, rows);
  for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{9216, 3072}, {3072, 15360}}) {
    rows.push_back(expand_row(n, k, ceilings));
  }
  return rows;
}

Json measure_gemms(const std::string& part) {
  Json rows = Json::array();
  for (const auto& c : test::kLinearCases) {
    if (!c.timed) continue;
    for (const ProductKind& kind : kKinds) {
      // Each fusion where the network has it.
      if (kind.rows && c.n != 9216) continue;
      if (kind.gelu && c.n != 12288) continue;
      if (name_of(c, kind).find(part) == std::string::npos) continue;
      rows.push_back(gemm_row(c, kind));
    }
  }
  rows.push_back({{"saturated code (126 if clamped)", saturated_code()}});
  return rows;
}

}  // namespace ditq::bench
