// Sources: BFL flux src/flux/model.py @ 802fb47 (structure), diffusers transformer_flux.py 0.39 (names, rounding
// points). B batch, Li image tokens, Lt text tokens, L = Lt + Li, D hidden, Nh heads, Dh head size.

#include "models/flux1.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "family/check_tensors.h"
#include "family/registry.h"
#include "nn/embeddings.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/modulate.h"
#include "ops/positions.h"
#include "ops/rope.h"
#include "ops/sinusoid.h"
#include "tensor/create.h"
#include "tensor/tap.h"

namespace ditq {
namespace {

constexpr std::int64_t kTimeChannels = 256;
constexpr double kRopeTheta = 10000.0;

/// Queries, keys and values of both streams in one sequence, text tokens first: [B, L, Nh, Dh] each.
struct JointQkv {
  Tensor q, k, v;

  JointQkv(std::int64_t batch, std::int64_t tokens, const Flux1Dims& dims, at::ScalarType dtype)
      : q(empty({batch, tokens, dims.heads, dims.head_dim}, dtype)),
        k(empty({batch, tokens, dims.heads, dims.head_dim}, dtype)),
        v(empty({batch, tokens, dims.heads, dims.head_dim}, dtype)) {}

  /// softmax(q k^T) v, [B, L, D].
  Tensor attend() const {
    return attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        .transpose(1, 2)
        .flatten(2);
  }
};

/// Projections of one stream into its rows of the joint sequence, with the norms of queries and keys.
struct QkvProjection {
  Linear q, k, v;
  Tensor norm_q, norm_k;

  struct Names {
    const char *q, *k, *v, *norm_q, *norm_k;
  };
  static constexpr Names kImage{"to_q", "to_k", "to_v", "norm_q", "norm_k"};
  static constexpr Names kText{"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q",
                               "norm_added_k"};

  QkvProjection(const Weights& w, const Flux1Dims& dims, const Names& names)
      : q(w / names.q, dims.hidden(), dims.hidden()),
        k(w / names.k, dims.hidden(), dims.hidden()),
        v(w / names.v, dims.hidden(), dims.hidden()),
        norm_q((w / names.norm_q).plain("weight", {dims.head_dim})),
        norm_k((w / names.norm_k).plain("weight", {dims.head_dim})) {}

  /// x [B, n, D] becomes tokens [begin, begin + n) of `joint`.
  void operator()(const Tensor& x,
                  std::int64_t begin,
                  const Rope& rope,
                  const JointQkv& joint) const {
    const Rope rows = rope.slice(begin, x.size(1));
    const auto project = [&](const Linear& linear, const Tensor& into) {
      const Tensor part = into.narrow(1, begin, x.size(1));
      linear.into(x, part.flatten(2));
      return part;
    };
    rms_norm_rope(project(q, joint.q), norm_q, rows);
    rms_norm_rope(project(k, joint.k), norm_k, rows);
    project(v, joint.v);
  }
};

struct FeedForward {
  Linear up, down;

  FeedForward(const Weights& w, std::int64_t hidden)
      : up(w / "net.0.proj", hidden, 4 * hidden), down(w / "net.2", 4 * hidden, hidden) {}

  Tensor operator()(const Tensor& x) const { return down(up(x, PostOp::gelu_tanh)); }
};

/// One of the two token streams of a double block: same layers, its own weights.
struct Stream {
  Linear mod;  ///< shift, scale, gate for attention, then for the feed-forward
  QkvProjection qkv;
  Linear proj;
  FeedForward ff;

  struct Names {
    const char *mod, *proj, *ff;
    QkvProjection::Names qkv;
  };
  static constexpr Names kImage{"norm1.linear", "attn.to_out.0", "ff", QkvProjection::kImage};
  static constexpr Names kText{"norm1_context.linear", "attn.to_add_out", "ff_context",
                               QkvProjection::kText};

  Stream(const Weights& w, const Flux1Dims& dims, const Names& names)
      : mod(w / names.mod, dims.hidden(), 6 * dims.hidden()),
        qkv(w / "attn", dims, names.qkv),
        proj(w / names.proj, dims.hidden(), dims.hidden()),
        ff(w / names.ff, dims.hidden()) {}
};

/// Shift, scale and gate of a modulation, [B, D] each.
struct Modulation {
  Tensor shift, scale, gate;

  /// Part `index` of a projection [B, 3 D n].
  Modulation(const Tensor& projection, std::int64_t index, std::int64_t hidden)
      : shift(projection.narrow(1, (3 * index) * hidden, hidden)),
        scale(projection.narrow(1, (3 * index + 1) * hidden, hidden)),
        gate(projection.narrow(1, (3 * index + 2) * hidden, hidden)) {}
};

/// MM-DiT block: the streams meet only in attention, text tokens first.
struct DoubleBlock {
  Stream img, txt;
  const Flux1Dims& dims;

  DoubleBlock(const Weights& w, const Flux1Dims& d)
      : img(w, d, Stream::kImage), txt(w, d, Stream::kText), dims(d) {}

  /// x [B, Li, D] image tokens, c [B, Lt, D] text tokens, both updated; vec = silu(temb) [B, D].
  void operator()(const Tensor& x, const Tensor& c, const Tensor& vec, const Rope& rope) const {
    const Tensor x_mod = img.mod(vec);
    const Tensor c_mod = txt.mod(vec);
    const Modulation x_attn(x_mod, 0, dims.hidden()), x_mlp(x_mod, 1, dims.hidden());
    const Modulation c_attn(c_mod, 0, dims.hidden()), c_mlp(c_mod, 1, dims.hidden());

    const JointQkv joint(x.size(0), c.size(1) + x.size(1), dims, x.scalar_type());
    txt.qkv(layer_norm_modulate(c, c_attn.shift, c_attn.scale), 0, rope, joint);
    img.qkv(layer_norm_modulate(x, x_attn.shift, x_attn.scale), c.size(1), rope, joint);
    const Tensor attended = joint.attend();
    const Tensor x_out = img.proj(attended.narrow(1, c.size(1), x.size(1)));
    const Tensor c_out = txt.proj(attended.narrow(1, 0, c.size(1)));
    tap("attn.0", x_out);
    tap("attn.1", c_out);

    finish(img, x, x_attn.gate, x_out, x_mlp);
    finish(txt, c, c_attn.gate, c_out, c_mlp);
    tap("0", c);
    tap("1", x);
  }

 private:
  static void finish(const Stream& stream,
                     const Tensor& x,
                     const Tensor& gate,
                     const Tensor& attention_out,
                     const Modulation& mlp) {
    add_gated(x, gate, attention_out);
    add_gated(x, mlp.gate, stream.ff(layer_norm_modulate(x, mlp.shift, mlp.scale)));
  }
};

/// Parallel block over the joined sequence: attention and feed-forward side by side, one projection out.
struct SingleBlock {
  Linear mod;
  QkvProjection qkv;
  Linear proj_mlp, proj_out;
  const Flux1Dims& dims;

  SingleBlock(const Weights& w, const Flux1Dims& d)
      : mod(w / "norm.linear", d.hidden(), 3 * d.hidden()),
        qkv(w / "attn", d, QkvProjection::kImage),
        proj_mlp(w / "proj_mlp", d.hidden(), 4 * d.hidden()),
        proj_out(w / "proj_out", 5 * d.hidden(), d.hidden()),
        dims(d) {}

  /// x [B, L, D], updated.
  void operator()(const Tensor& x, const Tensor& vec, const Rope& rope) const {
    const Tensor projection = mod(vec);
    const Modulation m(projection, 0, dims.hidden());
    const Tensor normal = layer_norm_modulate(x, m.shift, m.scale);
    const JointQkv joint(x.size(0), x.size(1), dims, x.scalar_type());
    qkv(normal, 0, rope, joint);

    const Tensor parts = empty({x.size(0), x.size(1), 5 * dims.hidden()}, x.scalar_type());
    const Tensor mlp = parts.narrow(2, dims.hidden(), 4 * dims.hidden());
    proj_mlp.into(normal, mlp, PostOp::gelu_tanh);
    parts.narrow(2, 0, dims.hidden()).copy_(joint.attend());
    const Tensor out = proj_out(parts);
    tap("proj_out", out);
    add_gated(x, m.gate, out);
  }
};

template <typename Block>
std::vector<Block> blocks(const Weights& w, std::int64_t count, const Flux1Dims& dims) {
  std::vector<Block> out;
  out.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) out.emplace_back(w / static_cast<std::size_t>(i), dims);
  return out;
}

TensorTable table_of(const Weights& w) {
  TensorTable table;
  for (const auto& [name, tensor] : w.tensors().tensors()) {
    table.emplace(name, TensorFacts{.dtype = tensor.dtype, .shape = tensor.shape});
  }
  return table;
}

}  // namespace

struct Flux1Transformer::Network {
  const Flux1Dims dims;
  EmbeddingMlp time_in;
  std::optional<EmbeddingMlp> guidance_in;
  EmbeddingMlp vector_in;
  Linear txt_in, img_in;
  std::vector<DoubleBlock> double_blocks;
  std::vector<SingleBlock> single_blocks;
  Linear final_mod, final_proj;

  Network(const Weights& w, const Flux1Dims& d)
      : dims(d),
        time_in(w / "time_text_embed.timestep_embedder", kTimeChannels, d.hidden()),
        guidance_in(d.guidance_embeds
                        ? std::optional<EmbeddingMlp>(std::in_place,
                                                      w / "time_text_embed.guidance_embedder",
                                                      kTimeChannels,
                                                      d.hidden())
                        : std::nullopt),
        vector_in(w / "time_text_embed.text_embedder", d.pooled_projection_dim, d.hidden()),
        txt_in(w / "context_embedder", d.joint_attention_dim, d.hidden()),
        img_in(w / "x_embedder", d.in_channels, d.hidden()),
        double_blocks(blocks<DoubleBlock>(w / "transformer_blocks", d.num_layers, dims)),
        single_blocks(
            blocks<SingleBlock>(w / "single_transformer_blocks", d.num_single_layers, dims)),
        final_mod(w / "norm_out.linear", d.hidden(), 2 * d.hidden()),
        final_proj(w / "proj_out", d.hidden(), d.out_channels) {}

  /// temb [B, D]: time, guidance and pooled text.
  Tensor conditioning(const Flux1Input& in) const {
    const at::ScalarType dtype = in.img.scalar_type();
    const auto features = [&](const Tensor& t) {
      return sinusoid(t.to(dtype).mul(1000), kTimeChannels, 10000.0).to(dtype);
    };
    Tensor vec = time_in(features(in.timestep));
    if (guidance_in) vec = vec.add((*guidance_in)(features(in.guidance)));
    return vec.add(vector_in(in.pooled));
  }

  Tensor operator()(const Flux1Input& in) const {
    const Tensor temb = conditioning(in);
    tap("time_text_embed", temb);
    const Tensor vec = silu(temb);
    const Rope rope = make_rope(in.positions, dims.axes_dims_rope, kRopeTheta);

    // Both streams live in one sequence, so that joining them for the single blocks copies nothing.
    const std::int64_t text_tokens = in.txt.size(1);
    const std::int64_t image_tokens = in.img.size(1);
    const Tensor tokens =
        empty({in.img.size(0), text_tokens + image_tokens, dims.hidden()}, in.img.scalar_type());
    const Tensor txt = tokens.narrow(1, 0, text_tokens);
    const Tensor img = tokens.narrow(1, text_tokens, image_tokens);
    txt_in.into(in.txt, txt);
    img_in.into(in.img, img);
    tap("context_embedder", txt);
    tap("x_embedder", img);

    for (std::size_t i = 0; i < double_blocks.size(); ++i) {
      const TapScope scope("transformer_blocks", i);
      double_blocks[i](img, txt, vec, rope);
    }
    for (std::size_t i = 0; i < single_blocks.size(); ++i) {
      const TapScope scope("single_transformer_blocks", i);
      single_blocks[i](tokens, vec, rope);
      tap("0", txt);
      tap("1", img);
    }

    // The final modulation has scale before shift in the diffusers dialect.
    const Tensor mod = final_mod(vec);
    const Tensor normal =
        layer_norm_modulate(img, /*shift=*/mod.narrow(1, dims.hidden(), dims.hidden()),
                            /*scale=*/mod.narrow(1, 0, dims.hidden()));
    tap("norm_out", normal);
    const Tensor out = final_proj(normal);
    tap("proj_out", out);
    return out;  // [B, Li, out_channels]
  }
};

Flux1Transformer::Flux1Transformer(const Weights& w, const Flux1Dims& dims) : dims_(dims) {
  check_tensors(flux1_family(), dim_values(dims), table_of(w), w.path());
  network_ = std::make_unique<const Network>(w, dims_);
}

Flux1Transformer::~Flux1Transformer() = default;
Flux1Transformer::Flux1Transformer(Flux1Transformer&&) noexcept = default;

Tensor Flux1Transformer::operator()(const Flux1Input& input) const {
  return (*network_)(input);
}

Tensor flux1_positions(std::int64_t text_tokens,
                       std::int64_t rows,
                       std::int64_t columns,
                       at::ScalarType dtype) {
  return grid_positions(text_tokens, rows, columns).to(dtype).to(at::kFloat);
}

}  // namespace ditq
