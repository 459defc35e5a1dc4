#include "models/encoders/clip_text.h"

#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "models/encoders/clip_layer.h"
#include "nn/config_reader.h"
#include "ops/embedding.h"
#include "tensor/tap.h"

namespace ditq {
namespace {

constexpr const char* kNetwork = "CLIP text encoder";
constexpr const char* kFirstTensor = "embeddings.token_embedding.weight";

ClipLayerDims layer_dims(const ClipTextConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_heads = config.num_heads,
          .layer_norm_eps = config.layer_norm_eps,
          .hidden_act = config.hidden_act,
          .causal = true};
}

/// Position of the end-of-text token in a row of ids: its first occurrence, or 0 where there is
/// none. Configs from before the id was corrected say 2; for them it is the largest id, which the
/// published vocabulary gives to that token.
std::int64_t end_of_text(const std::int64_t* ids, std::int64_t count, std::int64_t eos) {
  const bool largest = eos == 2;
  std::int64_t best = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!largest && ids[i] == eos) return i;
    if (largest && ids[i] > ids[best]) best = i;
  }
  return best;
}

/// Files written by transformers 4 carry the prefix; some written by 5 do not.
std::string find_prefix(const Weights& w) {
  return w.has(kFirstTensor) ? "" : "text_model.";
}

Weights checked(const Weights& w, const ClipTextConfig& config) {
  const std::string prefix = find_prefix(w);
  check_weights(clip_text_weights(config, prefix), w);
  return prefix.empty() ? w : w / "text_model";
}

}  // namespace

ClipTextConfig ClipTextConfig::parse(const Json& config, const std::string& path) {
  constexpr std::int64_t kWidest = 1 << 20;
  ConfigReader reader(config, kNetwork, path);
  ClipTextConfig c;
  const std::string type = reader.word("model_type", "clip_text_model");
  if (type != "clip_text_model") {
    reader.problem(fmt::format("model_type must be clip_text_model, found {}", type));
  }
  c.vocab_size = reader.integer("vocab_size", c.vocab_size, 1 << 24);
  c.hidden_size = reader.integer("hidden_size", c.hidden_size, kWidest);
  c.intermediate_size = reader.integer("intermediate_size", c.intermediate_size, kWidest);
  c.num_layers = reader.integer("num_hidden_layers", c.num_layers, 1024);
  c.num_heads = reader.integer("num_attention_heads", c.num_heads, kWidest);
  c.max_positions = reader.integer("max_position_embeddings", c.max_positions, kWidest);
  c.eos_token_id = reader.index("eos_token_id", c.eos_token_id, 1 << 24);
  c.layer_norm_eps = reader.positive("layer_norm_eps", c.layer_norm_eps);
  c.hidden_act = reader.word("hidden_act", c.hidden_act);
  if (c.hidden_size % c.num_heads != 0) {
    reader.problem(fmt::format("num_attention_heads = {} must divide hidden_size = {}", c.num_heads,
                               c.hidden_size));
  }
  if (find_activation(c.hidden_act) == nullptr) {
    reader.problem(fmt::format("hidden_act '{}' is not known", c.hidden_act));
  }
  reader.finish();
  return c;
}

WeightTable clip_text_weights(const ClipTextConfig& config, const std::string& prefix) {
  // The rest of a whole CLIP model, and the position table that older files carry.
  WeightTable table{.network = kNetwork,
                    .tolerated = {prefix + "embeddings.position_ids", "text_projection.",
                                  "vision_model.", "visual_projection.", "logit_scale"}};
  const std::int64_t d = config.hidden_size;
  table.tensors = {
      {prefix + kFirstTensor, {config.vocab_size, d}},
      {prefix + "embeddings.position_embedding.weight", {config.max_positions, d}},
  };
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    add_clip_layer(table, fmt::format("{}encoder.layers.{}.", prefix, i), layer_dims(config));
  }
  table.add_norm(prefix + "final_layer_norm", d, /*bias=*/true);
  return table;
}

struct ClipText::Network {
  Tensor tokens, positions;
  std::vector<ClipLayer> layers;
  ClipNorm final_norm;

  Network(const Weights& w, const ClipTextConfig& config)
      : tokens(w.plain(kFirstTensor, {config.vocab_size, config.hidden_size})),
        positions(w.plain("embeddings.position_embedding.weight",
                          {config.max_positions, config.hidden_size})),
        final_norm(w / "final_layer_norm", layer_dims(config)) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      layers.emplace_back(w / "encoder" / "layers" / static_cast<std::size_t>(i),
                          layer_dims(config));
    }
  }
};

ClipText::ClipText(const Weights& w, const ClipTextConfig& config)
    : config_(config), network_(std::make_unique<const Network>(checked(w, config), config)) {}
ClipText::~ClipText() = default;
ClipText::ClipText(ClipText&&) noexcept = default;
ClipText& ClipText::operator=(ClipText&&) noexcept = default;

ClipText::Output ClipText::operator()(const Tensor& ids) const {
  const std::int64_t batch = ids.size(0);
  const std::int64_t length = ids.size(1);
  if (length > config_.max_positions) {
    throw Error(ErrorCode::bad_tokenizer, "more tokens than the CLIP text encoder has positions",
                {.expected = fmt::format("up to {}", config_.max_positions),
                 .found = std::to_string(length)});
  }
  const TapScope scope("clip");
  Tensor x = embedding(ids, network_->tokens).add_(network_->positions.narrow(0, 0, length));
  for (std::size_t i = 0; i < network_->layers.size(); ++i) {
    tap(("hidden." + std::to_string(i)).c_str(), x);
    x = network_->layers[i](x);
  }
  tap(("hidden." + std::to_string(network_->layers.size())).c_str(), x);
  x = network_->final_norm(x);
  tap("last_hidden_state", x);

  const Tensor rows = ids.contiguous();
  Tensor pooled = x.new_empty({batch, x.size(2)});
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto* row = rows.const_data_ptr<std::int64_t>() + b * length;
    pooled.select(0, b).copy_(
        x.select(0, b).select(0, end_of_text(row, length, config_.eos_token_id)));
  }
  tap("pooled", pooled);
  return {x, pooled};
}

}  // namespace ditq
