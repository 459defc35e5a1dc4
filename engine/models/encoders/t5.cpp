#include "models/encoders/t5.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "nn/config_reader.h"
#include "nn/linear.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/embedding.h"
#include "ops/norm.h"
#include "tensor/create.h"
#include "tensor/tap.h"

namespace ditq {
namespace {

constexpr const char* kNetwork = "T5 encoder";
constexpr const char* kShared = "shared.weight";
constexpr const char* kEmbedTokens = "encoder.embed_tokens.weight";
constexpr const char* kPositionBias =
    "block.0.layer.0.SelfAttention.relative_attention_bias.weight";

struct RmsNorm {
  Tensor weight;
  double eps;

  RmsNorm(const Weights& w, const T5Config& config)
      : weight(w.plain("weight", {config.d_model})), eps(config.layer_norm_epsilon) {}

  Tensor operator()(const Tensor& x) const { return rms_norm(x, weight, eps); }
};

struct SelfAttention {
  RmsNorm norm;
  Linear q, k, v, o;
  std::int64_t heads, head_dim;

  SelfAttention(const Weights& w, const T5Config& config)
      : norm(w / "layer_norm", config),
        q(w / "SelfAttention" / "q", config.d_model, config.num_heads * config.d_kv),
        k(w / "SelfAttention" / "k", config.d_model, config.num_heads * config.d_kv),
        v(w / "SelfAttention" / "v", config.d_model, config.num_heads * config.d_kv),
        o(w / "SelfAttention" / "o", config.num_heads * config.d_kv, config.d_model),
        heads(config.num_heads),
        head_dim(config.d_kv) {}

  /// [B, L, Nh * Dh] to [B, Nh, L, Dh].
  Tensor split(const Tensor& x) const {
    return x.view({x.size(0), x.size(1), heads, head_dim}).transpose(1, 2);
  }

  Tensor operator()(const Tensor& input, const Tensor& bias) const {
    const Tensor x = norm(input);
    const Tensor mixed =
        attention(split(q(x)), split(k(x)), split(v(x)), {.bias = bias, .scale = 1.0});
    return o(mixed.transpose(1, 2).reshape({x.size(0), x.size(1), heads * head_dim}));
  }
};

struct FeedForward {
  RmsNorm norm;
  Linear wi;                    ///< wi_0 of the gated form
  std::optional<Linear> gated;  ///< wi_1
  Linear wo;
  Activation act;

  FeedForward(const Weights& w, const T5Config& config)
      : norm(w / "layer_norm", config),
        wi(w / "DenseReluDense" / (config.gated ? "wi_0" : "wi"), config.d_model, config.d_ff),
        wo(w / "DenseReluDense" / "wo", config.d_ff, config.d_model),
        act(find_activation(config.activation)) {
    if (config.gated) gated.emplace(w / "DenseReluDense" / "wi_1", config.d_model, config.d_ff);
  }

  Tensor operator()(const Tensor& input) const {
    const Tensor x = norm(input);
    Tensor hidden = act(wi(x));
    if (gated) hidden = hidden.mul((*gated)(x));
    return wo(hidden);
  }
};

struct Block {
  SelfAttention attn;
  FeedForward ff;

  Block(const Weights& w, const T5Config& config)
      : attn(w / "layer" / 0, config), ff(w / "layer" / 1, config) {}

  Tensor operator()(const Tensor& input, const Tensor& bias) const {
    const Tensor x = input.add(attn(input, bias));
    return x.add(ff(x));
  }
};

std::string embedding_name(const Weights& w) {
  return w.has(kShared) || !w.has(kEmbedTokens) ? kShared : kEmbedTokens;
}

Weights checked(const Weights& w, const T5Config& config) {
  check_weights(t5_weights(config, embedding_name(w)), w);
  return w;
}

/// "gated-gelu" is the gated form with gelu_new; otherwise "gated-ACT" or "ACT".
void read_feed_forward(const std::string& text, T5Config& c, ConfigReader& reader) {
  const std::string gate = "gated-";
  c.gated = text.starts_with(gate);
  c.activation = c.gated ? text.substr(gate.size()) : text;
  if (text == "gated-gelu") c.activation = "gelu_new";
  if (find_activation(c.activation) == nullptr) {
    reader.problem(fmt::format("feed_forward_proj '{}' is not known", text));
  }
}

}  // namespace

T5Config T5Config::parse(const Json& config, const std::string& path) {
  constexpr std::int64_t kWidest = 1 << 20;
  ConfigReader reader(config, kNetwork, path);
  T5Config c;
  const std::string type = reader.word("model_type", "t5");
  if (type != "t5") reader.problem(fmt::format("model_type must be t5, found {}", type));
  c.vocab_size = reader.integer("vocab_size", c.vocab_size, 1 << 24);
  c.d_model = reader.integer("d_model", c.d_model, kWidest);
  c.d_kv = reader.integer("d_kv", c.d_kv, kWidest);
  c.d_ff = reader.integer("d_ff", c.d_ff, kWidest);
  c.num_layers = reader.integer("num_layers", c.num_layers, 1024);
  c.num_heads = reader.integer("num_heads", c.num_heads, 1 << 16);
  c.num_buckets = reader.integer("relative_attention_num_buckets", c.num_buckets, kWidest);
  c.max_distance = reader.integer("relative_attention_max_distance", c.max_distance, kWidest);
  c.layer_norm_epsilon = reader.positive("layer_norm_epsilon", c.layer_norm_epsilon);
  read_feed_forward(reader.word("feed_forward_proj", "relu"), c, reader);
  if (c.num_buckets < 4 || c.max_distance <= c.num_buckets / 4) {
    reader.problem(fmt::format(
        "relative_attention_num_buckets = {} must be at least 4, and a quarter of it below "
        "relative_attention_max_distance = {}",
        c.num_buckets, c.max_distance));
  }
  reader.finish();
  return c;
}

std::int64_t t5_bucket(std::int64_t distance, const T5Config& config) {
  const std::int64_t half = config.num_buckets / 2;
  const std::int64_t exact = half / 2;
  const std::int64_t first = distance > 0 ? half : 0;
  const std::int64_t steps = std::abs(distance);
  if (steps < exact) return first + steps;
  const auto ratio = static_cast<float>(steps) / static_cast<float>(exact);
  const auto range = static_cast<float>(
      std::log(static_cast<double>(config.max_distance) / static_cast<double>(exact)));
  const float position = std::log(ratio) / range * static_cast<float>(half - exact);
  return first + std::min(half - 1, exact + static_cast<std::int64_t>(position));
}

WeightTable t5_weights(const T5Config& config, const std::string& embedding) {
  // The decoder's part of a whole T5.
  WeightTable table{.network = kNetwork, .tolerated = {"decoder.", "lm_head."}};
  const std::int64_t d = config.d_model;
  const std::int64_t inner = config.num_heads * config.d_kv;
  for (const char* name : {kShared, kEmbedTokens}) {
    table.tensors.push_back({name, {config.vocab_size, d}, /*required=*/name == embedding});
  }
  table.tensors.push_back(
      {std::string("encoder.") + kPositionBias, {config.num_buckets, config.num_heads}});
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    const std::string attn = fmt::format("encoder.block.{}.layer.0.", i);
    const std::string ff = fmt::format("encoder.block.{}.layer.1.", i);
    for (const char* name : {"q", "k", "v"}) {
      table.add_linear(attn + "SelfAttention." + name, inner, d, /*bias=*/false);
    }
    table.add_linear(attn + "SelfAttention.o", d, inner, /*bias=*/false);
    table.add_norm(attn + "layer_norm", d, /*bias=*/false);
    for (const char* name : {"wi", "wi_0", "wi_1"}) {
      if (config.gated == (std::string(name) == "wi")) continue;
      table.add_linear(ff + "DenseReluDense." + name, config.d_ff, d, /*bias=*/false);
    }
    table.add_linear(ff + "DenseReluDense.wo", d, config.d_ff, /*bias=*/false);
    table.add_norm(ff + "layer_norm", d, /*bias=*/false);
  }
  table.add_norm("encoder.final_layer_norm", d, /*bias=*/false);
  return table;
}

struct T5Encoder::Network {
  Tensor tokens;         ///< [vocabulary, D]
  Tensor position_bias;  ///< [buckets, Nh]
  std::vector<Block> blocks;
  RmsNorm final_norm;

  Network(const Weights& w, const T5Config& config)
      : tokens(w.plain(embedding_name(w), {config.vocab_size, config.d_model})),
        position_bias((w / "encoder").plain(kPositionBias, {config.num_buckets, config.num_heads})),
        final_norm(w / "encoder" / "final_layer_norm", config) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      blocks.emplace_back(w / "encoder" / "block" / static_cast<std::size_t>(i), config);
    }
  }

  /// What every attention adds to its scores: [1, Nh, L, L].
  Tensor bias(std::int64_t length, const T5Config& config) const {
    // One row per distance 1 - L … L - 1; query q then reads the L rows from L - 1 - q on.
    const std::int64_t distances = 2 * length - 1;
    const Tensor buckets = empty({distances}, at::kLong);
    auto* bucket = buckets.mutable_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < distances; ++i) bucket[i] = t5_bucket(i - length + 1, config);
    const Tensor by_distance =
        position_bias.index_select(0, on_device(buckets, position_bias.device())).t().contiguous();
    return by_distance.unfold(1, length, 1).flip(1).contiguous().unsqueeze(0);
  }
};

T5Encoder::T5Encoder(const Weights& w, const T5Config& config)
    : config_(config), network_(std::make_unique<const Network>(checked(w, config), config)) {}
T5Encoder::~T5Encoder() = default;
T5Encoder::T5Encoder(T5Encoder&&) noexcept = default;
T5Encoder& T5Encoder::operator=(T5Encoder&&) noexcept = default;

Tensor T5Encoder::operator()(const Tensor& ids) const {
  const TapScope scope("t5");
  const Tensor bias = network_->bias(ids.size(1), config_);
  Tensor x = embedding(ids, network_->tokens);
  for (std::size_t i = 0; i < network_->blocks.size(); ++i) {
    tap(("hidden." + std::to_string(i)).c_str(), x);
    x = network_->blocks[i](x, bias);
  }
  x = network_->final_norm(x);
  tap(("hidden." + std::to_string(network_->blocks.size())).c_str(), x);
  tap("last_hidden_state", x);
  return x;
}

}  // namespace ditq
