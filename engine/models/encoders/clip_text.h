#pragma once
// CLIP's text encoder. FLUX.1 takes its pooled state.

#include <memory>
#include <string>

#include "base/json.h"
#include "nn/check_weights.h"
#include "tensor/weights.h"

namespace ditq {

/// Sizes of a CLIPTextModel; absent keys take transformers' defaults.
struct ClipTextConfig {
  std::int64_t vocab_size = 49408;
  std::int64_t hidden_size = 512;         ///< D
  std::int64_t intermediate_size = 2048;  ///< width of the feed-forward layer
  std::int64_t num_layers = 12;
  std::int64_t num_heads = 8;       ///< Nh
  std::int64_t max_positions = 77;  ///< longest input
  std::int64_t eos_token_id =
      49407;  ///< the pooled state is taken there; 2 stands for the largest id
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";

  /// Errors: json_type; bad_config, listing all problems. `path` names the document.
  /// Source: transformers models/clip/configuration_clip.py 5.17 (CLIPTextConfig).
  static ClipTextConfig parse(const Json& config, const std::string& path);
};

/// The tensors that the encoder reads. `prefix`: "text_model.", or empty for files that leave it
/// out.
WeightTable clip_text_weights(const ClipTextConfig& config, const std::string& prefix);

/// Causal transformer encoder, pre-norm. Source: transformers models/clip/modeling_clip.py 5.17
/// (CLIPTextModel).
class ClipText {
 public:
  struct Output {
    Tensor last_hidden_state;  ///< [B, L, D]
    Tensor pooled;             ///< [B, D], the last hidden state at the end-of-text token
  };

  /// Errors: family_mismatch.
  ClipText(const Weights& w, const ClipTextConfig& config);
  ~ClipText();
  ClipText(ClipText&&) noexcept;
  ClipText& operator=(ClipText&&) noexcept;

  /// ids [B, L] i64, L up to max_positions. Results in the weights' dtype. Taps: clip.hidden.N
  /// (before layer N, and after the last), clip.last_hidden_state, clip.pooled. Errors:
  /// bad_tokenizer for ids outside the vocabulary and for an input that is too long.
  Output operator()(const Tensor& ids) const;

  const ClipTextConfig& config() const { return config_; }

 private:
  struct Network;
  ClipTextConfig config_;
  std::unique_ptr<const Network> network_;
};

}  // namespace ditq
