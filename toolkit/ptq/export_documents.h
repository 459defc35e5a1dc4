#pragma once
// The documents of an exported component, byte for byte as ModelOpt and diffusers write them.

#include <optional>
#include <string>
#include <vector>

#include "convert/output_plan.h"
#include "ptq/export_plan.h"

namespace ditq {

/// Versions whose formats are written, and which documents name as their producers.
inline constexpr const char* kModeloptVersion = "0.47.0";
inline constexpr const char* kDiffusersVersion = "0.39.0";

/// Most bytes of a shard.
inline constexpr std::uint64_t kShardLimit = 10'000'000'000;

/// quantization_config of a component. `rank`: of SVDQuant, 0 for plain formats. Source: ModelOpt reference 6.3.
Json quantization_config(const ComponentPlan& plan,
                         const QuantizerSet& quantizers,
                         std::int64_t rank);

/// config.json: diffusers' keys in order, then the quantization_config; indent 4, no newline at the end. Of a merged file
/// three keys.
std::string config_text(const ComponentSource& source, const Json& quantization);

/// A merged file: one shard, whose metadata keeps the source's and says what it is. Source: ModelOpt reference 6.2, 6.6.
PlannedShard merged_shard(const ComponentSource& source,
                          std::vector<PlannedTensor> tensors,
                          const std::string& folder,
                          const Json& quantization);

/// Tensors as shards of at most `limit` bytes, in order, under diffusers' names; `folder` is "" or "transformer/".
std::vector<PlannedShard> cut_shards(std::vector<PlannedTensor> tensors,
                                     const std::string& folder,
                                     std::uint64_t limit);

/// The index of several shards, as diffusers writes it; nothing for one.
std::optional<PlannedDocument> index_document(const std::vector<PlannedShard>& shards,
                                              const std::string& folder);

}  // namespace ditq
