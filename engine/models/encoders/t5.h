#pragma once
// T5's encoder: the long text encoder of FLUX.1.

#include <memory>
#include <string>

#include "base/json.h"
#include "nn/check_weights.h"
#include "tensor/weights.h"

namespace ditq {

/// Sizes of a T5EncoderModel; absent keys take transformers' defaults.
struct T5Config {
  std::int64_t vocab_size = 32128;
  std::int64_t d_model = 512;  ///< D
  std::int64_t d_kv = 64;      ///< Dh; Nh * Dh need not be D
  std::int64_t d_ff = 2048;    ///< width of the feed-forward layer
  std::int64_t num_layers = 6;
  std::int64_t num_heads = 8;       ///< Nh
  std::int64_t num_buckets = 32;    ///< relative positions are told apart by so many buckets …
  std::int64_t max_distance = 128;  ///< … of which the last one holds everything from here on
  double layer_norm_epsilon = 1e-6;
  bool gated = false;               ///< act(wi_0 x) * wi_1 x instead of act(wi x)
  std::string activation = "relu";  ///< as find_activation knows it

  /// Errors: json_type; bad_config, listing all problems. `path` names the document.
  /// Source: transformers models/t5/configuration_t5.py 5.17 (T5Config; "gated-gelu" means
  /// gelu_new).
  static T5Config parse(const Json& config, const std::string& path);
};

/// Bucket of the distance "key position minus query position": half of the buckets for keys before
/// the query, half for those after it; in each half, half of them exact, the others logarithmic up
/// to max_distance. Source: transformers models/t5/modeling_t5.py 5.17 (_relative_position_bucket),
/// in its f32 arithmetic.
std::int64_t t5_bucket(std::int64_t distance, const T5Config& config);

/// The tensors that the encoder reads. `embedding`: "shared.weight" or
/// "encoder.embed_tokens.weight", two names of one tensor; a file may hold either or both.
WeightTable t5_weights(const T5Config& config, const std::string& embedding);

/// Transformer encoder, pre-norm, without biases, attention without scaling and without mask:
/// padding is attended to, as FLUX.1 was trained. Source: transformers
/// models/t5/modeling_t5.py 5.17 (T5EncoderModel).
class T5Encoder {
 public:
  /// Errors: family_mismatch.
  T5Encoder(const Weights& w, const T5Config& config);
  ~T5Encoder();
  T5Encoder(T5Encoder&&) noexcept;
  T5Encoder& operator=(T5Encoder&&) noexcept;

  /// ids [B, L] i64. Returns the last hidden state [B, L, D] in the weights' dtype. Taps:
  /// t5.hidden.N (before block N, and the last hidden state), t5.last_hidden_state. Errors:
  /// bad_tokenizer for ids outside the vocabulary.
  Tensor operator()(const Tensor& ids) const;

  const T5Config& config() const { return config_; }

 private:
  struct Network;
  T5Config config_;
  std::unique_ptr<const Network> network_;
};

}  // namespace ditq
