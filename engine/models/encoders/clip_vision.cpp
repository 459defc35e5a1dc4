#include "models/encoders/clip_vision.h"

#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "models/encoders/clip_layer.h"
#include "nn/config_reader.h"
#include "ops/linear.h"
#include "tensor/create.h"
#include "tensor/tap.h"

namespace ditq {
namespace {

constexpr const char* kNetwork = "CLIP image encoder";

ClipLayerDims layer_dims(const ClipVisionConfig& config) {
  return {.hidden_size = config.hidden_size,
          .intermediate_size = config.intermediate_size,
          .num_heads = config.num_heads,
          .layer_norm_eps = config.layer_norm_eps,
          .hidden_act = config.hidden_act};
}

std::int64_t patches_of(const ClipVisionConfig& config) {
  const std::int64_t side = config.image_size / config.patch_size;
  return side * side;
}

/// The projection's width stands outside the vision config of a whole model.
std::int64_t projection_of(const Json& config, const std::string& path, std::int64_t absent) {
  ConfigReader reader(config, "CLIP model", path);
  const std::int64_t out = reader.integer("projection_dim", absent, 1 << 20);
  reader.finish();
  return out;
}

Weights checked(const Weights& w, const ClipVisionConfig& config) {
  check_weights(clip_vision_weights(config), w);
  return w;
}

}  // namespace

ClipVisionConfig ClipVisionConfig::parse(const Json& config, const std::string& path) {
  constexpr std::int64_t kWidest = 1 << 20;
  const bool whole = config.is_object() && config.contains("vision_config");
  const Json& vision = whole ? config["vision_config"] : config;
  ConfigReader reader(vision, kNetwork, path);
  ClipVisionConfig c;
  const std::string type = reader.word("model_type", "clip_vision_model");
  if (type != "clip_vision_model") {
    reader.problem(fmt::format("model_type must be clip or clip_vision_model, found {}", type));
  }
  c.hidden_size = reader.integer("hidden_size", c.hidden_size, kWidest);
  c.intermediate_size = reader.integer("intermediate_size", c.intermediate_size, kWidest);
  c.num_layers = reader.integer("num_hidden_layers", c.num_layers, 1024);
  c.num_heads = reader.integer("num_attention_heads", c.num_heads, kWidest);
  c.image_size = reader.integer("image_size", c.image_size, 4096);
  c.patch_size = reader.integer("patch_size", c.patch_size, 4096);
  c.layer_norm_eps = reader.positive("layer_norm_eps", c.layer_norm_eps);
  c.hidden_act = reader.word("hidden_act", c.hidden_act);
  if (reader.integer("num_channels", 3, 3) != 3) reader.problem("num_channels must be 3");
  if (c.hidden_size % c.num_heads != 0) {
    reader.problem(fmt::format("num_attention_heads = {} must divide hidden_size = {}", c.num_heads,
                               c.hidden_size));
  }
  if (c.image_size < c.patch_size) reader.problem("image_size must be at least patch_size");
  if (find_activation(c.hidden_act) == nullptr) {
    reader.problem(fmt::format("hidden_act '{}' is not known", c.hidden_act));
  }
  reader.finish();
  c.projection_dim = projection_of(config, path, c.projection_dim);
  return c;
}

WeightTable clip_vision_weights(const ClipVisionConfig& config) {
  WeightTable table{.network = kNetwork,
                    .tolerated = {"vision_model.embeddings.position_ids", "text_model.",
                                  "text_projection.", "logit_scale"}};
  const std::int64_t d = config.hidden_size;
  const std::string vision = "vision_model.";
  table.tensors = {
      {vision + "embeddings.class_embedding", {d}},
      {vision + "embeddings.patch_embedding.weight", {d, 3, config.patch_size, config.patch_size}},
      {vision + "embeddings.position_embedding.weight", {patches_of(config) + 1, d}},
      {"visual_projection.weight", {config.projection_dim, d}}};
  // The name is misspelt in every checkpoint.
  table.add_norm(vision + "pre_layrnorm", d, /*bias=*/true);
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    add_clip_layer(table, fmt::format("{}encoder.layers.{}.", vision, i), layer_dims(config));
  }
  table.add_norm(vision + "post_layernorm", d, /*bias=*/true);
  return table;
}

struct ClipVision::Network {
  Tensor class_token;  ///< [D]
  Tensor patch;        ///< [D, 3 * patch * patch]
  Tensor positions;    ///< [S + 1, D]
  ClipNorm pre_norm;
  std::vector<ClipLayer> layers;
  ClipNorm post_norm;
  Tensor projection;  ///< [P, D]

  Network(const Weights& w, const ClipVisionConfig& config)
      : class_token((w / "vision_model").plain("embeddings.class_embedding", {config.hidden_size})),
        patch((w / "vision_model")
                  .plain("embeddings.patch_embedding.weight",
                         {config.hidden_size, 3, config.patch_size, config.patch_size})
                  .reshape({config.hidden_size, -1})),
        positions((w / "vision_model")
                      .plain("embeddings.position_embedding.weight",
                             {patches_of(config) + 1, config.hidden_size})),
        pre_norm(w / "vision_model" / "pre_layrnorm", layer_dims(config)),
        post_norm(w / "vision_model" / "post_layernorm", layer_dims(config)),
        projection(
            w.plain("visual_projection.weight", {config.projection_dim, config.hidden_size})) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      layers.emplace_back(w / "vision_model" / "encoder" / "layers" / static_cast<std::size_t>(i),
                          layer_dims(config));
    }
  }

  /// [B, 3, H, W] to [B, S, D]: a convolution whose stride is its kernel is a product of patches.
  Tensor patches(const Tensor& pixels, std::int64_t size) const {
    const std::int64_t batch = pixels.size(0);
    const std::int64_t side = pixels.size(2) / size;
    const Tensor inside = pixels.narrow(2, 0, side * size).narrow(3, 0, side * size);
    const Tensor rows = inside.reshape({batch, 3, side, size, side, size})
                            .permute({0, 2, 4, 1, 3, 5})
                            .reshape({batch, side * side, 3 * size * size});
    return linear(rows, patch, {});
  }
};

ClipVision::ClipVision(const Weights& w, const ClipVisionConfig& config)
    : config_(config), network_(std::make_unique<const Network>(checked(w, config), config)) {}
ClipVision::~ClipVision() = default;
ClipVision::ClipVision(ClipVision&&) noexcept = default;
ClipVision& ClipVision::operator=(ClipVision&&) noexcept = default;

Tensor ClipVision::operator()(const Tensor& pixels) const {
  DITQ_ASSERT(pixels.dim() == 4 && pixels.size(2) == config_.image_size &&
              pixels.size(3) == config_.image_size);
  const TapScope scope("clip_vision");
  const Tensor cells = network_->patches(pixels, config_.patch_size);
  const Tensor token = network_->class_token.expand({pixels.size(0), 1, -1});
  Tensor x = network_->pre_norm(joined({token, cells}, 1).add(network_->positions));
  for (std::size_t i = 0; i < network_->layers.size(); ++i) {
    tap(("hidden." + std::to_string(i)).c_str(), x);
    x = network_->layers[i](x);
  }
  tap(("hidden." + std::to_string(network_->layers.size())).c_str(), x);
  const Tensor embeds =
      linear(network_->post_norm(x.select(1, 0).contiguous()), network_->projection, {});
  tap("embeds", embeds);
  return embeds;
}

}  // namespace ditq
