#pragma once
// A FLUX.2-like transformer of a few kilobytes as ModelOpt exports it, with its checkpoint and base, for tests that
// damage one thing at a time.

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/build_fp8.h"
#include "convert/torch_checkpoint.h"
#include "format/safetensors.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {

/// A bf16 tensor whose values run through -1 … 1.
OwnedTensor bf16_tensor(const Shape& shape);

/// A float32 tensor of one element, of shape [].
OwnedTensor f32_scalar(float value);

/// What stands on disk; change members, then write(). Four linears are FP8 (transformer_blocks.0.attn.to_q, .to_k and
/// .to_out.0, single_transformer_blocks.0.attn.to_out), x_embedder, context_embedder and norm_out.linear fall back, and
/// there are a norm and a bias.
struct SmallExport {
  Json config;
  OwnedTensors tensors;
  std::map<std::string, int> shards;  ///< tensor to shard 1 or 2; empty: one file without index
  OwnedTensors base;
  std::vector<SavedTensor> amax;

  SmallExport();

  SavedTensor& amax_of(const std::string& name);
  /// Puts every other tensor into a second shard.
  void split();

  /// Writes export/, base/ and checkpoint.pt into the folder.
  void write(const TemporaryFolder& folder) const;
  /// The request that converts them to out/.
  static BuildFp8Request request(const TemporaryFolder& folder);
};

}  // namespace ditq::test
