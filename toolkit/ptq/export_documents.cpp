// Sources: ModelOpt reference 6.2 and 6.3; diffusers models/modeling_utils.py and configuration_utils.py @ 0.39.0;
// huggingface_hub serialization/_base.py @ 1.0 (split_state_dict_into_shards_factory).

#include "ptq/export_documents.h"

#include <fmt/format.h>

#include "ptq/ignore_summary.h"

namespace ditq {
namespace {

constexpr const char* kWeightsStem = "diffusion_pytorch_model";
constexpr const char* kMergedFormat = "safetensors_state_dict";

Json format_of(const QuantizerConfig& config) {
  Json format = {{"dynamic", false},
                 {"num_bits", config.element == Element::nvfp4 ? 4 : 8},
                 {"type", "float"}};
  if (config.element == Element::nvfp4) format["group_size"] = config.block;
  return format;
}

std::string algorithm_of(const QuantizerConfig& config, std::int64_t rank) {
  if (config.element == Element::fp8) return "FP8";
  return rank == 0 ? "NVFP4" : "NVFP4_SVD";
}

/// A file's name without its folder.
std::string plain_name(const std::string& name, const std::string& folder) {
  return name.substr(folder.size());
}

}  // namespace

Json quantization_config(const ComponentPlan& plan,
                         const QuantizerSet& quantizers,
                         std::int64_t rank) {
  Json group = {{"input_activations", format_of(plan.config)}, {"weights", format_of(plan.config)}};
  const bool svdquant = rank != 0 && plan.config.element == Element::nvfp4;
  if (svdquant) {
    group["has_zero_point"] = false;
    group["pre_quant_scale"] = true;
  }
  group["targets"] = Json::array({"Linear"});
  if (svdquant) group["lora_rank"] = rank;
  // Convolutions whose quantizers are on count as quantized, although no format packs them.
  std::vector<std::string> quantized = plan.quantized;
  quantized.insert(quantized.end(), plan.unpacked.begin(), plan.unpacked.end());
  Json config = Json::object();
  config["config_groups"]["group_0"] = std::move(group);
  config["ignore"] = summarize_ignore(plan.unquantized, quantized);
  config["quant_algo"] = algorithm_of(plan.config, rank);
  if (quantizers.any_enabled(".k_bmm_quantizer") || quantizers.any_enabled(".v_bmm_quantizer")) {
    config["kv_cache_scheme"] = {{"dynamic", false}, {"num_bits", 8}, {"type", "float"}};
  }
  config["producer"] = {{"name", "modelopt"}, {"version", kModeloptVersion}};
  config["quant_method"] = "modelopt";
  return config;
}

std::string config_text(const ComponentSource& source, const Json& quantization) {
  if (source.merged != nullptr) {
    return dump_json(Json{{"_export_format", kMergedFormat},
                          {"_class_name", source.class_name},
                          {"quantization_config", quantization}},
                     {.indent = 4});
  }
  Json merged = Json::object();
  if (source.family != nullptr && source.family->quant.config_defaults != nullptr) {
    merged = source.family->quant.config_defaults();
  }
  for (const auto& [key, value] : source.config.items()) merged[key] = value;
  merged["_diffusers_version"] = kDiffusersVersion;
  merged["_name_or_path"] = source.shown;
  Json config = parse_json(dump_json(merged, {.sort_keys = true}), source.config_path);
  config["quantization_config"] = quantization;
  return dump_json(config, {.indent = 4});
}

PlannedShard merged_shard(const ComponentSource& source,
                          std::vector<PlannedTensor> tensors,
                          const std::string& folder,
                          const Json& quantization) {
  const Checkpoint& checkpoint = *source.checkpoint;
  PlannedShard shard{.name = folder + "model.safetensors",
                     .tensors = std::move(tensors),
                     .metadata = checkpoint.shards().at(checkpoint.first_shard()).metadata};
  shard.metadata["_export_format"] = kMergedFormat;
  shard.metadata["_class_name"] = source.class_name;
  shard.metadata["quantization_config"] = dump_json(quantization);
  return shard;
}

std::vector<PlannedShard> cut_shards(std::vector<PlannedTensor> tensors,
                                     const std::string& folder,
                                     std::uint64_t limit) {
  std::vector<PlannedShard> shards(1);
  std::uint64_t size = 0;
  for (PlannedTensor& tensor : tensors) {
    if (!shards.back().tensors.empty() && size + tensor.target.size > limit) {
      shards.emplace_back();
      size = 0;
    }
    size += tensor.target.size;
    shards.back().tensors.push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string number =
        shards.size() == 1 ? "" : fmt::format("-{:05}-of-{:05}", i + 1, shards.size());
    shards[i].name = fmt::format("{}{}{}.safetensors", folder, kWeightsStem, number);
    shards[i].metadata = {{"format", "pt"}};
  }
  return shards;
}

std::optional<PlannedDocument> index_document(const std::vector<PlannedShard>& shards,
                                              const std::string& folder) {
  if (shards.size() < 2) return std::nullopt;
  std::uint64_t total = 0;
  Json weight_map = Json::object();
  for (const PlannedShard& shard : shards) {
    for (const PlannedTensor& tensor : shard.tensors) {
      weight_map[tensor.target.name] = plain_name(shard.name, folder);
      total += tensor.target.size;
    }
  }
  Json index = Json::object();
  index["metadata"] = {{"total_size", total}};
  index["weight_map"] = std::move(weight_map);
  return PlannedDocument{.name = fmt::format("{}{}.safetensors.index.json", folder, kWeightsStem),
                         .text = dump_json(index, {.indent = 2, .sort_keys = true}) + "\n"};
}

}  // namespace ditq
