#include "models/vae/autoencoder_kl.h"

#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "nn/config_reader.h"
#include "nn/linear.h"
#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/group_norm.h"
#include "tensor/tap.h"

namespace ditq {
namespace {

constexpr const char* kNetwork = "AutoencoderKL decoder";
constexpr double kNormEps = 1e-6;

/// Names of the middle block's attention: q, k, v, out.
using AttentionNames = std::array<const char*, 4>;
constexpr AttentionNames kAttentionNames = {"to_q", "to_k", "to_v", "to_out.0"};
constexpr AttentionNames kOldAttentionNames = {"query", "key", "value", "proj_attn"};

const AttentionNames& attention_names(bool old_attention) {
  return old_attention ? kOldAttentionNames : kAttentionNames;
}

struct Conv {
  Tensor weight, bias;

  Conv(const Weights& w, std::int64_t in, std::int64_t out, std::int64_t kernel)
      : weight(channels_last(w.plain("weight", {out, in, kernel, kernel}))),
        bias(w.plain("bias", {out})) {}

  Tensor operator()(const Tensor& x) const { return conv2d(x, weight, bias); }
};

struct Upsample {
  Tensor weight, bias;

  Upsample(const Weights& w, std::int64_t channels)
      : weight(upsample_conv2d_weight(w.plain("weight", {channels, channels, 3, 3}))),
        bias(w.plain("bias", {channels})) {}

  Tensor operator()(const Tensor& x) const { return upsample_conv2d(x, weight, bias); }
};

struct GroupNorm {
  Tensor weight, bias;
  std::int64_t groups;

  GroupNorm(const Weights& w, std::int64_t channels, const AutoencoderKlConfig& config)
      : weight(w.plain("weight", {channels})),
        bias(w.plain("bias", {channels})),
        groups(config.norm_num_groups) {}

  Tensor operator()(const Tensor& x, bool silu) const {
    return group_norm(x, weight, bias, {.groups = groups, .eps = kNormEps, .silu = silu});
  }
};

struct Resnet {
  GroupNorm norm1;
  Conv conv1;
  GroupNorm norm2;
  Conv conv2;
  std::optional<Conv> shortcut;

  Resnet(const Weights& w, std::int64_t in, std::int64_t out, const AutoencoderKlConfig& config)
      : norm1(w / "norm1", in, config),
        conv1(w / "conv1", in, out, 3),
        norm2(w / "norm2", out, config),
        conv2(w / "conv2", out, out, 3) {
    if (in != out) shortcut.emplace(w / "conv_shortcut", in, out, 1);
  }

  Tensor operator()(const Tensor& x) const {
    const Tensor h = conv2(norm2(conv1(norm1(x, /*silu=*/true)), /*silu=*/true));
    return h.add_(shortcut ? (*shortcut)(x) : x);
  }
};

/// One head over all pixels.
struct PixelAttention {
  GroupNorm norm;
  Linear q, k, v, out;

  PixelAttention(const Weights& w,
                 std::int64_t channels,
                 const AttentionNames& names,
                 const AutoencoderKlConfig& config)
      : norm(w / "group_norm", channels, config),
        q(w / names[0], channels, channels),
        k(w / names[1], channels, channels),
        v(w / names[2], channels, channels),
        out(w / names[3], channels, channels) {}

  /// x [B, C, H, W].
  Tensor operator()(const Tensor& x) const {
    const std::int64_t channels = x.size(1);
    const Tensor pixels = norm(x, /*silu=*/false).permute({0, 2, 3, 1});
    const Tensor tokens = pixels.reshape({x.size(0), x.size(2) * x.size(3), channels});
    const auto head = [&](const Linear& linear) { return linear(tokens).unsqueeze(1); };
    const Tensor mixed = out(attention(head(q), head(k), head(v)).squeeze(1));
    return mixed.view(pixels.sizes()).permute({0, 3, 1, 2}).add(x);
  }
};

struct MidBlock {
  Resnet first;
  std::optional<PixelAttention> attn;
  Resnet second;

  MidBlock(const Weights& w,
           std::int64_t channels,
           bool old_attention,
           const AutoencoderKlConfig& config)
      : first(w / "resnets" / 0, channels, channels, config),
        second(w / "resnets" / 1, channels, channels, config) {
    if (!config.mid_block_add_attention) return;
    attn.emplace(w / "attentions" / 0, channels, attention_names(old_attention), config);
  }

  Tensor operator()(const Tensor& input) const {
    Tensor x = first(input);
    if (attn) x = (*attn)(x);
    return second(x);
  }
};

struct UpBlock {
  std::vector<Resnet> resnets;
  std::optional<Upsample> upsample;

  UpBlock(const Weights& w,
          std::int64_t in,
          std::int64_t out,
          bool last,
          const AutoencoderKlConfig& config) {
    for (std::int64_t i = 0; i <= config.layers_per_block; ++i) {
      resnets.emplace_back(w / "resnets" / static_cast<std::size_t>(i), i == 0 ? in : out, out,
                           config);
    }
    if (!last) upsample.emplace(w / "upsamplers" / 0 / "conv", out);
  }

  Tensor operator()(const Tensor& input) const {
    Tensor x = input;
    for (const Resnet& resnet : resnets) x = resnet(x);
    return upsample ? (*upsample)(x) : x;
  }
};

/// Channels into and out of up block i; block 0 is the coarsest.
std::pair<std::int64_t, std::int64_t> up_channels(const AutoencoderKlConfig& config,
                                                  std::size_t i) {
  const auto& channels = config.block_out_channels;
  const std::size_t last = channels.size() - 1;
  return {channels[last - (i == 0 ? 0 : i - 1)], channels[last - i]};
}

void add_resnet(WeightTable& table, const std::string& name, std::int64_t in, std::int64_t out) {
  table.add_norm(name + ".norm1", in, /*bias=*/true);
  table.add_conv(name + ".conv1", out, in, 3);
  table.add_norm(name + ".norm2", out, /*bias=*/true);
  table.add_conv(name + ".conv2", out, out, 3);
  if (in != out) table.add_conv(name + ".conv_shortcut", out, in, 1);
}

void add_up_blocks(WeightTable& table, const AutoencoderKlConfig& config) {
  for (std::size_t i = 0; i < config.block_out_channels.size(); ++i) {
    const std::string block = fmt::format("decoder.up_blocks.{}.", i);
    const auto [in, out] = up_channels(config, i);
    for (std::int64_t j = 0; j <= config.layers_per_block; ++j) {
      add_resnet(table, fmt::format("{}resnets.{}", block, j), j == 0 ? in : out, out);
    }
    if (i + 1 == config.block_out_channels.size()) continue;
    table.add_conv(block + "upsamplers.0.conv", out, out, 3);
  }
}

bool has_old_attention(const Weights& w) {
  return w.has("decoder.mid_block.attentions.0.query.weight");
}

Weights checked(const Weights& w, const AutoencoderKlConfig& config) {
  check_weights(autoencoder_kl_weights(config, has_old_attention(w)), w);
  return w;
}

/// What the decoder does not vary: every other value is refused.
void check_fixed(const AutoencoderKlConfig& c, ConfigReader& reader) {
  const std::string name = reader.word("_class_name", "AutoencoderKL");
  if (name != "AutoencoderKL") {
    reader.problem(fmt::format("_class_name must be AutoencoderKL, found {}", name));
  }
  const std::string act = reader.word("act_fn", "silu");
  if (act != "silu" && act != "swish") {
    reader.problem(fmt::format("act_fn must be silu, found {}", act));
  }
  const auto blocks = reader.words("up_block_types", {"UpDecoderBlock2D"});
  for (const std::string& block : blocks) {
    if (block == "UpDecoderBlock2D") continue;
    reader.problem(fmt::format("up_block_types must all be UpDecoderBlock2D, found {}", block));
  }
  if (blocks.size() != c.block_out_channels.size()) {
    reader.problem(fmt::format("up_block_types has {} entries, block_out_channels {}",
                               blocks.size(), c.block_out_channels.size()));
  }
}

}  // namespace

AutoencoderKlConfig AutoencoderKlConfig::parse(const Json& config, const std::string& path) {
  constexpr std::int64_t kWidest = 1 << 16;
  ConfigReader reader(config, kNetwork, path);
  AutoencoderKlConfig c;
  c.latent_channels = reader.integer("latent_channels", c.latent_channels, kWidest);
  c.out_channels = reader.integer("out_channels", c.out_channels, kWidest);
  c.block_out_channels = reader.integers("block_out_channels", c.block_out_channels, kWidest);
  c.layers_per_block = reader.integer("layers_per_block", c.layers_per_block, 64);
  c.norm_num_groups = reader.integer("norm_num_groups", c.norm_num_groups, kWidest);
  c.mid_block_add_attention = reader.flag("mid_block_add_attention", c.mid_block_add_attention);
  c.use_post_quant_conv = reader.flag("use_post_quant_conv", c.use_post_quant_conv);
  c.scaling_factor = reader.positive("scaling_factor", c.scaling_factor);
  c.sample_size = reader.integer("sample_size", c.sample_size, kWidest);
  if (reader.has("shift_factor")) c.shift_factor = reader.number("shift_factor", 0.0);
  check_fixed(c, reader);
  if (c.block_out_channels.size() > 8) {
    reader.problem(fmt::format("block_out_channels must have up to 8 entries, found {}",
                               c.block_out_channels.size()));
  }
  for (const std::int64_t channels : c.block_out_channels) {
    if (channels % c.norm_num_groups == 0) continue;
    reader.problem(fmt::format("norm_num_groups = {} must divide block_out_channels, found {}",
                               c.norm_num_groups, channels));
  }
  reader.finish();
  return c;
}

WeightTable autoencoder_kl_weights(const AutoencoderKlConfig& config, bool old_attention) {
  WeightTable table{.network = kNetwork, .tolerated = {"encoder.", "quant_conv."}};
  const std::int64_t coarse = config.block_out_channels.back();
  const std::int64_t fine = config.block_out_channels.front();
  if (config.use_post_quant_conv) {
    table.add_conv("post_quant_conv", config.latent_channels, config.latent_channels, 1);
  }
  table.add_conv("decoder.conv_in", coarse, config.latent_channels, 3);
  const std::string mid = "decoder.mid_block.";
  add_resnet(table, mid + "resnets.0", coarse, coarse);
  add_resnet(table, mid + "resnets.1", coarse, coarse);
  if (config.mid_block_add_attention) {
    table.add_norm(mid + "attentions.0.group_norm", coarse, /*bias=*/true);
    for (const char* name : attention_names(old_attention)) {
      table.add_linear(mid + "attentions.0." + name, coarse, coarse, /*bias=*/true);
    }
  }
  add_up_blocks(table, config);
  table.add_norm("decoder.conv_norm_out", fine, /*bias=*/true);
  table.add_conv("decoder.conv_out", config.out_channels, fine, 3);
  return table;
}

struct AutoencoderKl::Network {
  at::ScalarType dtype;
  std::optional<Conv> post_quant_conv;
  Conv conv_in;
  MidBlock mid_block;
  std::vector<UpBlock> up_blocks;
  GroupNorm conv_norm_out;
  Conv conv_out;

  Network(const Weights& w, const AutoencoderKlConfig& config)
      : dtype(w.dtype()),
        conv_in(
            w / "decoder" / "conv_in", config.latent_channels, config.block_out_channels.back(), 3),
        mid_block(w / "decoder" / "mid_block",
                  config.block_out_channels.back(),
                  has_old_attention(w),
                  config),
        conv_norm_out(w / "decoder" / "conv_norm_out", config.block_out_channels.front(), config),
        conv_out(
            w / "decoder" / "conv_out", config.block_out_channels.front(), config.out_channels, 3) {
    if (config.use_post_quant_conv) {
      post_quant_conv.emplace(w / "post_quant_conv", config.latent_channels, config.latent_channels,
                              1);
    }
    const std::size_t count = config.block_out_channels.size();
    for (std::size_t i = 0; i < count; ++i) {
      const auto [in, out] = up_channels(config, i);
      up_blocks.emplace_back(w / "decoder" / "up_blocks" / i, in, out, i + 1 == count, config);
    }
  }

  Tensor operator()(const Tensor& z) const {
    const TapScope scope("decoder");
    tap("input", z);
    Tensor x = conv_in(z);
    tap("conv_in", x);
    x = mid_block(x);
    tap("mid_block", x);
    for (std::size_t i = 0; i < up_blocks.size(); ++i) {
      x = up_blocks[i](x);
      tap(("up_blocks." + std::to_string(i)).c_str(), x);
    }
    x = conv_out(conv_norm_out(x, /*silu=*/true)).contiguous();
    tap("output", x);
    return x;
  }
};

AutoencoderKl::AutoencoderKl(const Weights& w, const AutoencoderKlConfig& config)
    : config_(config), network_(std::make_unique<const Network>(checked(w, config), config)) {}
AutoencoderKl::~AutoencoderKl() = default;
AutoencoderKl::AutoencoderKl(AutoencoderKl&&) noexcept = default;
AutoencoderKl& AutoencoderKl::operator=(AutoencoderKl&&) noexcept = default;

Tensor AutoencoderKl::from_pipeline(const Tensor& latents) const {
  DITQ_ASSERT(latents.dim() == 4 && latents.size(1) == config_.latent_channels);
  return latents.to(network_->dtype).div(config_.scaling_factor).add(config_.shift_factor);
}

Tensor AutoencoderKl::decode_plain(const Tensor& z) const {
  return (*network_)(network_->post_quant_conv ? (*network_->post_quant_conv)(z) : z);
}

Tensor AutoencoderKl::decode(const Tensor& latents) const {
  return decode_plain(from_pipeline(latents));
}

Tiling AutoencoderKl::tiling() const {
  const Tiling out{.latent_side = config_.tile_latent_side(), .scale = config_.scale()};
  if (out.latent_side == 0) {
    throw Error(ErrorCode::unsupported, "this VAE cannot decode in tiles",
                {.expected = fmt::format("sample_size to be a multiple of {}", 4 * out.scale),
                 .found = std::to_string(config_.sample_size),
                 .advice = "--vae-tiling false decodes whole pictures"});
  }
  return out;
}

Tensor AutoencoderKl::decode_tiled(const Tensor& latents) const {
  const Tiling tiling = this->tiling();
  const Tensor z = from_pipeline(latents);
  if (!tiling.cuts(z)) return decode_plain(z);
  return decode_in_tiles(z, tiling, [this](const Tensor& tile) { return decode_plain(tile); });
}

}  // namespace ditq
