#include "family/flux1_components.h"

#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "family/flux1.h"

namespace ditq {
namespace {

/// What biases spread.
constexpr float kBias = 0.02F;

/// The sizes that differ between the published models and the bundled one.
struct Sizes {
  struct {
    std::int64_t width, inner, heads, layers;
  } clip;
  struct {
    std::int64_t width, inner, head, heads, layers;
  } t5;
  struct {
    std::vector<std::int64_t> channels;
    std::int64_t layers, groups, sample_size;
  } vae;
};

Sizes published_sizes() {
  return {
      .clip = {.width = 768, .inner = 3072, .heads = 12, .layers = 12},
      .t5 = {.width = 4096, .inner = 10240, .head = 64, .heads = 64, .layers = 24},
      .vae = {.channels = {128, 256, 512, 512}, .layers = 2, .groups = 32, .sample_size = 1024}};
}

Sizes tiny_sizes() {
  return {.clip = {.width = 128, .inner = 512, .heads = 4, .layers = 2},
          .t5 = {.width = 128, .inner = 256, .head = 32, .heads = 4, .layers = 2},
          .vae = {.channels = {32, 64, 96, 96}, .layers = 1, .groups = 16, .sample_size = 256}};
}

/// Collects a model's tensors.
class Tensors {
 public:
  void add(const std::string& name, std::vector<std::int64_t> shape, float mean, float deviation) {
    tensors_.push_back({name, std::move(shape), mean, deviation});
  }
  /// weight [out, in], and bias [out] where asked for.
  void linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    weight(name, {out, in}, in);
    if (bias) add(name + ".bias", {out}, 0, kBias);
  }
  void conv(const std::string& name, std::int64_t out, std::int64_t in, std::int64_t kernel) {
    weight(name, {out, in, kernel, kernel}, in * kernel * kernel);
    add(name + ".bias", {out}, 0, kBias);
  }
  void norm(const std::string& name, std::int64_t width, bool bias) {
    add(name + ".weight", {width}, 1, kBias);
    if (bias) add(name + ".bias", {width}, 0, kBias);
  }
  std::vector<ComponentTensor> take() { return std::move(tensors_); }

 private:
  void weight(const std::string& name, std::vector<std::int64_t> shape, std::int64_t inputs) {
    add(name + ".weight", std::move(shape), 0, 1 / std::sqrt(static_cast<float>(inputs)));
  }
  std::vector<ComponentTensor> tensors_;
};

constexpr std::int64_t kClipVocabulary = 49408;
constexpr std::int64_t kClipPositions = 77;
constexpr std::int64_t kT5Vocabulary = 32128;
constexpr std::int64_t kT5Buckets = 32;

ComponentModel clip(const Sizes& sizes) {
  const auto& c = sizes.clip;
  Tensors tensors;
  const std::string model = "text_model.";
  tensors.add(model + "embeddings.token_embedding.weight", {kClipVocabulary, c.width}, 0, 0.02F);
  tensors.add(model + "embeddings.position_embedding.weight", {kClipPositions, c.width}, 0, 0.01F);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string layer = fmt::format("{}encoder.layers.{}.", model, i);
    for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      tensors.linear(layer + "self_attn." + name, c.width, c.width, /*bias=*/true);
    }
    tensors.norm(layer + "layer_norm1", c.width, /*bias=*/true);
    tensors.norm(layer + "layer_norm2", c.width, /*bias=*/true);
    tensors.linear(layer + "mlp.fc1", c.inner, c.width, /*bias=*/true);
    tensors.linear(layer + "mlp.fc2", c.width, c.inner, /*bias=*/true);
  }
  tensors.norm(model + "final_layer_norm", c.width, /*bias=*/true);
  // The end-of-text token 2 of old configs stands for the largest id, whatever the tokenizer.
  return {.folder = "text_encoder",
          .file = "model",
          .config = {{"architectures", {"CLIPTextModel"}},
                     {"model_type", "clip_text_model"},
                     {"vocab_size", kClipVocabulary},
                     {"max_position_embeddings", kClipPositions},
                     {"hidden_size", c.width},
                     {"projection_dim", c.width},
                     {"intermediate_size", c.inner},
                     {"num_attention_heads", c.heads},
                     {"num_hidden_layers", c.layers},
                     {"hidden_act", "quick_gelu"},
                     {"layer_norm_eps", 1e-5},
                     {"attention_dropout", 0.0},
                     {"initializer_factor", 1.0},
                     {"initializer_range", 0.02},
                     {"bos_token_id", 0},
                     {"eos_token_id", 2},
                     {"pad_token_id", 1},
                     {"torch_dtype", "bfloat16"}},
          .tensors = tensors.take()};
}

ComponentModel t5(const Sizes& sizes) {
  const auto& c = sizes.t5;
  const std::int64_t inner = c.head * c.heads;
  // Attention does not divide by the root of the head's width: the queries' weights do.
  const auto query = static_cast<float>(1 / std::sqrt(static_cast<double>(c.width * c.head)));
  Tensors tensors;
  tensors.add("shared.weight", {kT5Vocabulary, c.width}, 0, 1);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string attn = fmt::format("encoder.block.{}.layer.0.", i);
    const std::string ff = fmt::format("encoder.block.{}.layer.1.", i);
    tensors.add(attn + "SelfAttention.q.weight", {inner, c.width}, 0, query);
    tensors.linear(attn + "SelfAttention.k", inner, c.width, /*bias=*/false);
    tensors.linear(attn + "SelfAttention.v", inner, c.width, /*bias=*/false);
    tensors.linear(attn + "SelfAttention.o", c.width, inner, /*bias=*/false);
    if (i == 0) {
      tensors.add(attn + "SelfAttention.relative_attention_bias.weight", {kT5Buckets, c.heads}, 0,
                  0.5F);
    }
    tensors.norm(attn + "layer_norm", c.width, /*bias=*/false);
    tensors.linear(ff + "DenseReluDense.wi_0", c.inner, c.width, /*bias=*/false);
    tensors.linear(ff + "DenseReluDense.wi_1", c.inner, c.width, /*bias=*/false);
    tensors.linear(ff + "DenseReluDense.wo", c.width, c.inner, /*bias=*/false);
    tensors.norm(ff + "layer_norm", c.width, /*bias=*/false);
  }
  tensors.norm("encoder.final_layer_norm", c.width, /*bias=*/false);
  return {.folder = "text_encoder_2",
          .file = "model",
          .config = {{"architectures", {"T5EncoderModel"}},
                     {"model_type", "t5"},
                     {"vocab_size", kT5Vocabulary},
                     {"d_model", c.width},
                     {"d_ff", c.inner},
                     {"d_kv", c.head},
                     {"num_heads", c.heads},
                     {"num_layers", c.layers},
                     {"num_decoder_layers", c.layers},
                     {"feed_forward_proj", "gated-gelu"},
                     {"dense_act_fn", "gelu_new"},
                     {"is_gated_act", true},
                     {"is_encoder_decoder", true},
                     {"use_cache", true},
                     {"tie_word_embeddings", false},
                     {"relative_attention_num_buckets", kT5Buckets},
                     {"relative_attention_max_distance", 128},
                     {"layer_norm_epsilon", 1e-6},
                     {"initializer_factor", 1.0},
                     {"dropout_rate", 0.1},
                     {"classifier_dropout", 0.0},
                     {"decoder_start_token_id", 0},
                     {"eos_token_id", 1},
                     {"pad_token_id", 0},
                     {"torch_dtype", "bfloat16"}},
          .tensors = tensors.take()};
}

constexpr std::int64_t kLatentChannels = 16;
constexpr std::int64_t kColours = 3;

void add_resnet(Tensors& tensors, const std::string& name, std::int64_t in, std::int64_t out) {
  tensors.norm(name + ".norm1", in, /*bias=*/true);
  tensors.conv(name + ".conv1", out, in, 3);
  tensors.norm(name + ".norm2", out, /*bias=*/true);
  tensors.conv(name + ".conv2", out, out, 3);
  if (in != out) tensors.conv(name + ".conv_shortcut", out, in, 1);
}

/// One half of the VAE. `channels` in the order in which its blocks have them; `layers` resnets a block; `sampler` is
/// what the blocks but the last end with.
struct Half {
  std::string name;    ///< "encoder."
  std::string blocks;  ///< "down_blocks"
  std::string sampler;
  std::vector<std::int64_t> channels;
  std::int64_t layers, in, out;
  std::int64_t middle;  ///< channels of the middle block
};

void add_half(Tensors& tensors, const Half& half) {
  const bool down = half.blocks == "down_blocks";
  tensors.conv(half.name + "conv_in", half.channels.front(), half.in, 3);
  std::int64_t before = half.channels.front();
  for (std::size_t i = 0; i < half.channels.size(); ++i) {
    const std::string block = fmt::format("{}{}.{}.", half.name, half.blocks, i);
    for (std::int64_t j = 0; j < half.layers; ++j) {
      add_resnet(tensors, fmt::format("{}resnets.{}", block, j), before, half.channels[i]);
      before = half.channels[i];
    }
    if (i + 1 == half.channels.size()) continue;
    tensors.conv(block + half.sampler + ".0.conv", before, before, 3);
  }
  const std::string mid = half.name + "mid_block.";
  add_resnet(tensors, mid + "resnets.0", half.middle, half.middle);
  add_resnet(tensors, mid + "resnets.1", half.middle, half.middle);
  tensors.norm(mid + "attentions.0.group_norm", half.middle, /*bias=*/true);
  for (const char* name : {"to_q", "to_k", "to_v", "to_out.0"}) {
    tensors.linear(mid + "attentions.0." + name, half.middle, half.middle, /*bias=*/true);
  }
  const std::int64_t last = down ? half.middle : before;
  tensors.norm(half.name + "conv_norm_out", last, /*bias=*/true);
  tensors.conv(half.name + "conv_out", half.out, last, 3);
}

ComponentModel vae(const Sizes& sizes, const std::string& variant) {
  const auto& c = sizes.vae;
  const std::vector<std::int64_t> reversed(c.channels.rbegin(), c.channels.rend());
  Tensors tensors;
  add_half(tensors, {.name = "encoder.",
                     .blocks = "down_blocks",
                     .sampler = "downsamplers",
                     .channels = c.channels,
                     .layers = c.layers,
                     .in = kColours,
                     .out = 2 * kLatentChannels,
                     .middle = c.channels.back()});
  add_half(tensors, {.name = "decoder.",
                     .blocks = "up_blocks",
                     .sampler = "upsamplers",
                     .channels = reversed,
                     .layers = c.layers + 1,
                     .in = kLatentChannels,
                     .out = kColours,
                     .middle = c.channels.back()});
  const std::vector<std::string> down(c.channels.size(), "DownEncoderBlock2D");
  const std::vector<std::string> up(c.channels.size(), "UpDecoderBlock2D");
  const bool tiny = variant == "tiny";
  return {.folder = "vae",
          .file = "diffusion_pytorch_model",
          .config = {{"_class_name", "AutoencoderKL"},
                     {"_diffusers_version", "0.39.0"},
                     {"act_fn", "silu"},
                     {"block_out_channels", c.channels},
                     {"down_block_types", down},
                     {"up_block_types", up},
                     {"force_upcast", true},
                     {"in_channels", kColours},
                     {"out_channels", kColours},
                     {"latent_channels", kLatentChannels},
                     {"latents_mean", nullptr},
                     {"latents_std", nullptr},
                     {"layers_per_block", c.layers},
                     {"mid_block_add_attention", true},
                     {"norm_num_groups", c.groups},
                     {"sample_size", c.sample_size},
                     {"scaling_factor", tiny ? 0.8925 : 0.3611},
                     {"shift_factor", tiny ? -0.0194 : 0.1159},
                     {"use_post_quant_conv", false},
                     {"use_quant_conv", false}},
          .tensors = tensors.take()};
}

/// Of schnell, which was distilled to few steps, the schedule is not shifted.
Json scheduler(const std::string& variant) {
  const bool schnell = variant == "schnell";
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
          {"_diffusers_version", "0.39.0"},
          {"base_image_seq_len", 256},
          {"base_shift", 0.5},
          {"max_image_seq_len", 4096},
          {"max_shift", 1.15},
          {"num_train_timesteps", 1000},
          {"shift", schnell ? 1.0 : 3.0},
          {"use_dynamic_shifting", !schnell}};
}

Json model_index() {
  return {{"_class_name", "FluxPipeline"},
          {"_diffusers_version", "0.39.0"},
          {"feature_extractor", {nullptr, nullptr}},
          {"image_encoder", {nullptr, nullptr}},
          {"scheduler", {"diffusers", "FlowMatchEulerDiscreteScheduler"}},
          {"text_encoder", {"transformers", "CLIPTextModel"}},
          {"text_encoder_2", {"transformers", "T5EncoderModel"}},
          {"tokenizer", {"transformers", "CLIPTokenizer"}},
          {"tokenizer_2", {"transformers", "T5TokenizerFast"}},
          {"transformer", {"diffusers", "FluxTransformer2DModel"}},
          {"vae", {"diffusers", "AutoencoderKL"}}};
}

}  // namespace

PipelineComponents flux1_components(const std::string& variant) {
  DITQ_ASSERT(published_flux1_dims(variant).has_value());
  const Sizes sizes = variant == "tiny" ? tiny_sizes() : published_sizes();
  return {.model_index = model_index(),
          .scheduler = scheduler(variant),
          .models = {clip(sizes), t5(sizes), vae(sizes, variant)},
          .tokenizers = {"tokenizer", "tokenizer_2"}};
}

}  // namespace ditq
