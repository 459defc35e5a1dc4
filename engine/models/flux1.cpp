// Sources: BFL flux src/flux/model.py @ 802fb47 (structure), diffusers transformer_flux.py 0.39 (names, rounding
// points). B batch, Li image tokens, Lt text tokens, L = Lt + Li, D hidden, Nh heads, Dh head size.

#include "models/flux1.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "family/check_tensors.h"
#include "family/registry.h"
#include "nn/embeddings.h"
#include "nn/layer_listener.h"
#include "nn/linear_group.h"
#include "ops/activation.h"
#include "ops/attention_fp8.h"
#include "ops/beside.h"
#include "ops/joint_attention.h"
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

/// The last `count` tokens of x [B, L, ...].
Tensor last_tokens(const Tensor& x, std::int64_t count) {
  return x.narrow(1, x.size(1) - count, count);
}

/// Queries, keys and values of both streams in one sequence, text tokens first: [B, L, Nh, Dh] each, the three of a
/// token behind one another, so that one product can write them.
struct JointQkv {
  Tensor q, k, v;

  JointQkv(const Tensor& like, std::int64_t tokens, const Flux1Dims& dims) {
    const Tensor all = empty({like.size(0), tokens, 3, dims.heads, dims.head_dim},
                             like.scalar_type(), like.device());
    q = all.select(2, 0);
    k = all.select(2, 1);
    v = all.select(2, 2);
  }

  /// out [B, n, D] = softmax(q k^T) v of the last n tokens' queries in the run's dtype, or in codes that the layers behind
  /// read.
  void attend(const AttentionQuantizers& quantizers,
              const JointForms& forms,
              AttentionKernel kernel,
              const Tensor& out) const {
    LayerListener* listener = layer_listener();
    if (listener == nullptr) {
      return joint_attention(last_tokens(q, out.size(1)), k, v, forms, out, kernel);
    }
    listener->attention(quantizers.q, q);
    listener->attention(quantizers.k, k);
    listener->attention(quantizers.v, v);
    const Tensor values = empty(out.sizes(), q.scalar_type(), q.device());
    joint_attention(q, k, v, {}, values, kernel);
    listener->attention(quantizers.output, values);
    store_in_forms(values, forms, out);
  }
};

/// Projections of one stream into its rows of the joint sequence, and its norms of queries and keys.
struct QkvProjection {
  LinearGroup linears;
  Tensor norm_q, norm_k;
  float largest_q, largest_k;  ///< what the norms leave at most

  struct Names {
    const char *q, *k, *v, *norm_q, *norm_k;
  };
  static constexpr Names kImage{"to_q", "to_k", "to_v", "norm_q", "norm_k"};
  static constexpr Names kText{"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q",
                               "norm_added_k"};

  QkvProjection(const Weights& w, const Flux1Dims& dims, const Names& names)
      : linears(group(w, dims, names)),
        norm_q((w / names.norm_q).plain("weight", {dims.head_dim})),
        norm_k((w / names.norm_k).plain("weight", {dims.head_dim})),
        largest_q(largest_after_norm(norm_q)),
        largest_k(largest_after_norm(norm_k)) {}

  /// x [B, n, D], or its codes, becomes tokens [begin, begin + n) of `joint`.
  void operator()(const Tensor& x, std::int64_t begin, const JointQkv& joint) const {
    const auto rows = [&](const Tensor& all) { return all.narrow(1, begin, x.size(1)).flatten(2); };
    linears.into(x, {rows(joint.q), rows(joint.k), rows(joint.v)});
  }

 private:
  static LinearGroup group(const Weights& w, const Flux1Dims& dims, const Names& names) {
    std::vector<Linear> parts;
    for (const char* name : {names.q, names.k, names.v}) {
      parts.emplace_back(w / name, dims.hidden(), dims.hidden());
    }
    return LinearGroup(std::move(parts));
  }
};

/// FP8 attention of one block: its scales, and the result as the next layer reads it.
struct Fp8Attention {
  AttentionScales scales;

  /// out: the scale of the next layer's input, or 0.
  Fp8Attention(float largest_q, float largest_k, float out, at::Device device)
      : scales(largest_q / kMostE4m3, largest_k / kMostE4m3, out, device) {}

  /// out [B, L, D] in E4M3 codes of `scales.out`, or in the run's dtype. found: f32 [3], zeros.
  void operator()(const JointQkv& joint,
                  const JointQk& qk,
                  const Rope& rope,
                  const Tensor& found,
                  const Tensor& out) const {
    const QkvCodes qkv = joint_norm_rope_e4m3(qk, joint.v, rope, scales, found);
    if (out.scalar_type() == at::kFloat8_e4m3fn) return attention_e4m3(qkv, scales, out);
    const Tensor codes = empty(out.sizes(), at::kFloat8_e4m3fn, out.device());
    attention_e4m3(qkv, scales, codes);
    dequantize_into(codes, scales.out_scale(qkv.v_scale), out);
  }

 private:
  static constexpr float kMostE4m3 = 448.0F;
};

struct FeedForward {
  Linear up, down;

  FeedForward(const Weights& w, std::int64_t hidden)
      : up(w / "net.0.proj", hidden, 4 * hidden), down(w / "net.2", 4 * hidden, hidden) {}

  /// x in the form of `up`.
  Tensor operator()(const Tensor& x) const {
    const Form form = down.form();
    const Tensor inner = empty({x.size(0), x.size(1), up.out_features()},
                               form.e4m3 ? at::kFloat8_e4m3fn : plain_type(x), x.device());
    up.into(x, inner, PostOp::gelu_tanh, form);
    return down(inner);
  }

  /// The run's dtype: codes stand for bf16.
  static at::ScalarType plain_type(const Tensor& x) {
    return x.scalar_type() == at::kFloat8_e4m3fn ? at::kBFloat16 : x.scalar_type();
  }
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

/// Tokens [B, L, D] with a gated update that the next norm adds in its own pass.
class Residual {
 public:
  explicit Residual(Tensor tokens) : tokens_(std::move(tokens)) {}

  std::int64_t tokens() const { return tokens_.size(1); }

  /// tokens += gate * y, sooner or later.
  void add(const Tensor& gate, const Tensor& y) {
    settle();
    pending_ = {gate, y};
  }
  /// The modulated norm `module` of the tokens, in the form of the layer that reads it.
  Tensor norm(const std::string& module,
              const Tensor& shift,
              const Tensor& scale,
              const Form& form) {
    if (LayerListener* listener = layer_listener()) listener->norm(module, settle());
    const GatedUpdate update = std::exchange(pending_, {});
    return add_gated_layer_norm_modulate(tokens_, update, shift, scale, form);
  }
  Tensor norm(const std::string& module, const Modulation& modulation, const Form& form) {
    return norm(module, modulation.shift, modulation.scale, form);
  }
  /// Forgets all tokens but the last `count`.
  void keep_last(std::int64_t count) {
    if (count == tokens()) return;
    settle();
    tokens_ = last_tokens(tokens_, count);
  }
  /// The tokens with every update added.
  const Tensor& settle() {
    const GatedUpdate update = std::exchange(pending_, {});
    if (update.y.defined()) add_gated(tokens_, update.gate, update.y);
    return tokens_;
  }

 private:
  Tensor tokens_;
  GatedUpdate pending_;
};

/// One of the two token streams of a double block: same layers, its own weights.
struct Stream {
  Linear mod;  ///< shift, scale, gate for attention, then for the feed-forward
  QkvProjection qkv;
  Linear proj;
  FeedForward ff;
  std::string attn_norm, ff_norm;

  struct Names {
    const char *mod, *proj, *ff;
    const char *attn_norm, *ff_norm;
    QkvProjection::Names qkv;
  };
  static constexpr Names kImage{"norm1.linear", "attn.to_out.0", "ff",
                                "norm1.norm",   "norm2",         QkvProjection::kImage};
  static constexpr Names kText{"norm1_context.linear", "attn.to_add_out", "ff_context",
                               "norm1_context.norm",   "norm2_context",   QkvProjection::kText};

  Stream(const Weights& w, const Flux1Dims& dims, const Names& names)
      : mod(w / names.mod, dims.hidden(), 6 * dims.hidden()),
        qkv(w / "attn", dims, names.qkv),
        proj(w / names.proj, dims.hidden(), dims.hidden()),
        ff(w / names.ff, dims.hidden()),
        attn_norm((w / names.attn_norm).module()),
        ff_norm((w / names.ff_norm).module()) {}
};

/// What the blocks of one step share.
struct StepState {
  const Rope& rope;
  AttentionKernel attention;
  Tensor found;  ///< f32 [blocks, 4], zeros: FP8 attention's memory for each block

  bool fp8() const { return attention == AttentionKernel::fp8; }
};

/// MM-DiT block: the streams meet only in attention, text tokens first.
struct DoubleBlock {
  Stream img, txt;
  AttentionQuantizers quantizers;
  Fp8Attention fp8;
  /// The projections for FP8 attention's result, where they read codes: both streams' under one scale.
  std::optional<Linear> img_proj_fp8, txt_proj_fp8;
  const Flux1Dims& dims;

  DoubleBlock(const Weights& w, const Flux1Dims& d)
      : img(w, d, Stream::kImage),
        txt(w, d, Stream::kText),
        quantizers((w / "attn").module()),
        fp8(std::max(img.qkv.largest_q, txt.qkv.largest_q),
            std::max(img.qkv.largest_k, txt.qkv.largest_k),
            common_scale(),
            w.device()),
        dims(d) {
    if (fp8.scales.out == 0) return;
    img_proj_fp8 = img.proj.with_input_scale(fp8.scales.out);
    txt_proj_fp8 = txt.proj.with_input_scale(fp8.scales.out);
  }

  /// The larger of the projections' scales of their input: neither clips. 0 where one of them has none.
  float common_scale() const {
    const float a = img.proj.input_scale();
    const float b = txt.proj.input_scale();
    return a == 0 || b == 0 ? 0 : std::max(a, b);
  }

  /// What a projection reads of attention, [B, L, D].
  Tensor attend(const JointQkv& joint,
                const JointQk& qk,
                const StepState& state,
                const Tensor& found) const {
    const JointForms forms{
        .text_tokens = qk.text_tokens, .text = txt.proj.form(), .image = img.proj.form()};
    const bool codes = state.fp8() ? img_proj_fp8 && img_proj_fp8->form().e4m3
                                   : forms.text.e4m3 && forms.image.e4m3;
    const Tensor out = empty({qk.q.size(0), qk.q.size(1), dims.hidden()},
                             codes ? at::kFloat8_e4m3fn : qk.q.scalar_type(), qk.q.device());
    if (state.fp8()) {
      fp8(joint, qk, state.rope, found, out);
    } else {
      joint_norm_rope(qk, state.rope);
      joint.attend(quantizers, forms, state.attention, out);
    }
    return out;
  }

  /// x image tokens, c text tokens, both updated; their projections of vec, [B, 6 D] each; found: this block's.
  void operator()(Residual& x,
                  Residual& c,
                  const Tensor& x_mod,
                  const Tensor& c_mod,
                  const StepState& state,
                  const Tensor& found) const {
    const Modulation x_attn(x_mod, 0, dims.hidden()), x_mlp(x_mod, 1, dims.hidden());
    const Modulation c_attn(c_mod, 0, dims.hidden()), c_mlp(c_mod, 1, dims.hidden());
    const std::int64_t text = c.tokens();

    // The text stream's small products fill what the image stream's leave of the GPU.
    const JointQkv joint(x_mod, text + x.tokens(), dims);
    beside(
        x_mod, [&] { img.qkv(x.norm(img.attn_norm, x_attn, img.qkv.linears.form()), text, joint); },
        [&] { txt.qkv(c.norm(txt.attn_norm, c_attn, txt.qkv.linears.form()), 0, joint); });
    const JointQk qk{.q = joint.q,
                     .k = joint.k,
                     .text_tokens = text,
                     .text_q = txt.qkv.norm_q,
                     .text_k = txt.qkv.norm_k,
                     .image_q = img.qkv.norm_q,
                     .image_k = img.qkv.norm_k};
    const Tensor attended = attend(joint, qk, state, found);
    const bool common = state.fp8() && img_proj_fp8;
    const Linear& img_proj = common ? *img_proj_fp8 : img.proj;
    const Linear& txt_proj = common ? *txt_proj_fp8 : txt.proj;
    const auto finish_image = [&] {
      const Tensor out = img_proj(attended.narrow(1, text, x.tokens()));
      tap("attn.0", out);
      finish(img, x, x_attn.gate, out, x_mlp);
    };
    const auto finish_text = [&] {
      const Tensor out = txt_proj(attended.narrow(1, 0, text));
      tap("attn.1", out);
      finish(txt, c, c_attn.gate, out, c_mlp);
    };
    beside(x_mod, finish_image, finish_text);
    if (!tap_active()) return;
    tap("0", c.settle());
    tap("1", x.settle());
  }

 private:
  static void finish(const Stream& stream,
                     Residual& x,
                     const Tensor& gate,
                     const Tensor& attention_out,
                     const Modulation& mlp) {
    x.add(gate, attention_out);
    x.add(mlp.gate, stream.ff(x.norm(stream.ff_norm, mlp, stream.ff.up.form())));
  }
};

/// Parallel block over the joined sequence: attention and feed-forward side by side, one projection out.
struct SingleBlock {
  Linear mod;
  QkvProjection qkv;
  Linear proj_mlp, proj_out;
  std::string norm;
  AttentionQuantizers quantizers;
  Fp8Attention fp8;
  const Flux1Dims& dims;

  SingleBlock(const Weights& w, const Flux1Dims& d)
      : mod(w / "norm.linear", d.hidden(), 3 * d.hidden()),
        qkv(w / "attn", d, QkvProjection::kImage),
        proj_mlp(w / "proj_mlp", d.hidden(), 4 * d.hidden()),
        proj_out(w / "proj_out", 5 * d.hidden(), d.hidden()),
        norm((w / "norm.norm").module()),
        quantizers((w / "attn").module()),
        fp8(qkv.largest_q, qkv.largest_k, proj_out.input_scale(), w.device()),
        dims(d) {}

  /// x all tokens, of which the last `kept` are updated and stay; the block's projection of vec, [B, 3 D]; found: this
  /// block's.
  void operator()(Residual& x,
                  std::int64_t kept,
                  const Tensor& projection,
                  const StepState& state,
                  const Tensor& found) const {
    const Modulation m(projection, 0, dims.hidden());
    const Form form = qkv.linears.form();
    const Tensor normal = x.norm(norm, m, form == proj_mlp.form() ? form : Form());
    // The two halves of what proj_out reads, written where it reads them.
    const Form next = proj_out.form();
    const Tensor parts =
        empty({projection.size(0), x.tokens(), 5 * dims.hidden()},
              next.e4m3 ? at::kFloat8_e4m3fn : projection.scalar_type(), projection.device());
    const JointQkv joint(projection, x.tokens(), dims);
    qkv(normal, 0, joint);
    const JointQk qk{.q = joint.q, .k = joint.k, .image_q = qkv.norm_q, .image_k = qkv.norm_k};
    const Tensor attn = parts.narrow(2, 0, dims.hidden());
    const auto feed_forward = [&] {
      proj_mlp.into(last_tokens(normal, kept),
                    last_tokens(parts, kept).narrow(2, dims.hidden(), 4 * dims.hidden()),
                    PostOp::gelu_tanh, next);
    };
    if (state.fp8()) {
      // One after the other: cuDNN's kernel and the product slow each other down (docs/performance.md).
      feed_forward();
      fp8(joint, qk, state.rope, found, attn);
    } else {
      joint_norm_rope(qk, state.rope);
      const auto attend = [&] {
        joint.attend(quantizers, {.image = next}, state.attention, last_tokens(attn, kept));
      };
      if (layer_listener() == nullptr) {
        // The product takes the multiprocessors that attention's last tiles leave.
        beside(projection, attend, feed_forward);
      } else {
        // What a listener keeps of `normal` was made on this stream, and may be freed while the other still reads it.
        feed_forward();
        attend();
      }
    }
    const Tensor out = proj_out(last_tokens(parts, kept));
    tap("proj_out", out);
    x.keep_last(kept);
    x.add(m.gate, out);
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
  at::Device device;
  at::ScalarType dtype;

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
        final_proj(w / "proj_out", d.hidden(), d.out_channels),
        device(w.device()),
        dtype(w.dtype()) {}

  /// temb [B, D]: time, guidance and pooled text.
  Tensor conditioning(const Tensor& timestep, const Flux1Conditions& in) const {
    const at::ScalarType dtype = in.pooled.scalar_type();
    const auto features = [&](const Tensor& t) {
      return sinusoid(t.to(dtype).mul(1000), kTimeChannels, 10000.0).to(dtype);
    };
    Tensor vec = time_in(features(timestep));
    if (guidance_in) vec = vec.add((*guidance_in)(features(in.guidance)));
    return vec.add(vector_in(in.pooled));
  }

  /// Calls visit(layer) for every projection of vec, in the order in which the network reads them.
  template <typename Visit>
  void for_modulations(const Visit& visit) const {
    for (const DoubleBlock& block : double_blocks) {
      visit(block.img.mod);
      visit(block.txt.mod);
    }
    for (const SingleBlock& block : single_blocks) visit(block.mod);
    visit(final_mod);
  }

  /// All projections of vec = silu(temb) side by side: temb [R, D] becomes [R, width].
  Tensor modulations(const Tensor& temb) const {
    const Tensor vec = silu(temb);
    std::int64_t width = 0;
    for_modulations([&](const Linear& layer) { width += layer.out_features(); });
    const Tensor all = empty({vec.size(0), width}, vec.scalar_type(), vec.device());
    std::int64_t begin = 0;
    for_modulations([&](const Linear& layer) {
      layer.into(vec, all.narrow(1, begin, layer.out_features()));
      begin += layer.out_features();
    });
    return all;
  }

  Tensor embed_text(const Tensor& txt) const { return txt_in(txt); }

  /// img packed latents [B, Li, C], txt embedded text [B, Lt, D], mods [B, width] as modulations gives them.
  Tensor operator()(const Tensor& img,
                    const Tensor& txt,
                    const Tensor& mods,
                    const Rope& rope,
                    AttentionKernel attention) const {
    std::int64_t begin = 0;
    const auto next_mod = [&](const Linear& layer) {
      const Tensor part = mods.narrow(1, begin, layer.out_features());
      begin += layer.out_features();
      return part;
    };
    // Both streams live in one sequence, so that joining them for the single blocks copies nothing.
    const std::int64_t text_tokens = txt.size(1);
    const Tensor tokens = empty({img.size(0), text_tokens + img.size(1), dims.hidden()},
                                img.scalar_type(), img.device());
    const Tensor text_rows = tokens.narrow(1, 0, text_tokens);
    const Tensor image_rows = tokens.narrow(1, text_tokens, img.size(1));
    text_rows.copy_(txt);
    img_in.into(img, image_rows);
    tap("context_embedder", text_rows);
    tap("x_embedder", image_rows);
    const auto count = static_cast<std::int64_t>(double_blocks.size() + single_blocks.size());
    StepState state{.rope = rope, .attention = attention, .found = {}};
    if (state.fp8()) {
      state.found = filled({count, 4}, 0, at::kFloat, img.device());
    }
    auto next_found = [&, next = std::int64_t{0}]() mutable {
      return state.fp8() ? state.found[next++].narrow(0, 0, 3) : Tensor();
    };

    {
      Residual x(image_rows);
      Residual c(text_rows);
      for (std::size_t i = 0; i < double_blocks.size(); ++i) {
        const TapScope scope("transformer_blocks", i);
        const Tensor x_mod = next_mod(double_blocks[i].img.mod);
        double_blocks[i](x, c, x_mod, next_mod(double_blocks[i].txt.mod), state, next_found());
      }
      x.settle();
      c.settle();
    }
    // Nobody reads the text's rows behind the last block but those who look at what all layers do.
    const bool observed = tap_active() || layer_listener() != nullptr;
    Residual x(tokens);
    for (std::size_t i = 0; i < single_blocks.size(); ++i) {
      const TapScope scope("single_transformer_blocks", i);
      const bool last = i + 1 == single_blocks.size();
      single_blocks[i](x, last && !observed ? img.size(1) : tokens.size(1),
                       next_mod(single_blocks[i].mod), state, next_found());
      if (!tap_active()) continue;
      x.settle();
      tap("0", text_rows);
      tap("1", image_rows);
    }
    x.keep_last(img.size(1));

    // The final modulation has scale before shift in the diffusers dialect.
    const Tensor mod = next_mod(final_mod);
    const Tensor normal =
        x.norm("norm_out.norm", /*shift=*/mod.narrow(1, dims.hidden(), dims.hidden()),
               /*scale=*/mod.narrow(1, 0, dims.hidden()), final_proj.form());
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

Flux1Prepared Flux1Transformer::prepare(const std::vector<Tensor>& timesteps,
                                        const Flux1Conditions& conditions) const {
  std::vector<Tensor> rows;
  for (const Tensor& timestep : timesteps) {
    rows.push_back(network_->conditioning(timestep, conditions));
    tap("time_text_embed", rows.back());
  }
  const std::int64_t batch = conditions.pooled.size(0);
  const Tensor all = network_->modulations(rows.size() == 1 ? rows.front() : joined(rows, 0));
  return {.modulations = all.view({static_cast<std::int64_t>(rows.size()), batch, all.size(1)}),
          .text = network_->embed_text(conditions.txt),
          .rope = make_rope(conditions.positions.cpu(), dims_.axes_dims_rope, kRopeTheta)
                      .to(conditions.txt.device())};
}

Tensor Flux1Transformer::step(const Tensor& img,
                              const Tensor& text,
                              const Tensor& modulations,
                              const Rope& rope,
                              AttentionKernel attention) const {
  return (*network_)(img, text, modulations, rope, attention);
}

std::string Flux1Transformer::why_no_fp8_attention(std::int64_t batch, std::int64_t tokens) const {
  AttentionExtents extents{.batch = batch,
                           .tokens = tokens,
                           .heads = dims_.heads,
                           .head_dim = dims_.head_dim,
                           .out_row_stride = dims_.hidden()};
  std::string reason = why_no_attention_e4m3(extents, network_->device, network_->dtype);
  const auto& blocks = network_->single_blocks;
  const bool strided = std::any_of(blocks.begin(), blocks.end(), [](const SingleBlock& block) {
    return block.proj_out.form().e4m3;
  });
  if (!reason.empty() || !strided) return reason;
  // Single blocks' result lies beside that of the feed-forward.
  extents.out_row_stride = 5 * dims_.hidden();
  return why_no_attention_e4m3(extents, network_->device, network_->dtype);
}

Tensor Flux1Transformer::operator()(const Flux1Input& input) const {
  const Flux1Prepared run = prepare({input.timestep}, {.txt = input.txt,
                                                       .pooled = input.pooled,
                                                       .guidance = input.guidance,
                                                       .positions = input.positions});
  return step(input.img, run.text, run.modulations[0], run.rope);
}

Tensor flux1_positions(std::int64_t text_tokens,
                       std::int64_t rows,
                       std::int64_t columns,
                       at::ScalarType dtype) {
  return grid_positions(text_tokens, rows, columns).to(dtype).to(at::kFloat);
}

}  // namespace ditq
