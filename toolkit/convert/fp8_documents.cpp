#include "convert/fp8_documents.h"

#include <algorithm>
#include <filesystem>

namespace ditq {
namespace {

Json output_quantization(const Fp8Source& source, const std::vector<std::string>& ignore) {
  Json quantization = source.quantization;
  // Anything but a non-empty string counts as missing, as in Python's `or`.
  const auto algorithm = quantization.find("quant_algo");
  if (algorithm == quantization.end() || !algorithm->is_string() || *algorithm == "") {
    quantization["quant_algo"] = "FP8";
  }
  if (!quantization.contains("quant_type")) quantization["quant_type"] = "FP8";
  quantization["ignore"] = ignore;
  return quantization;
}

// Metadata values are strings; a class name that is none, or empty, gives way to the source's.
std::string class_name(const Json& config, const std::map<std::string, std::string>& metadata) {
  const auto found = config.find("_class_name");
  if (found != config.end() && found->is_string() && *found != "") return found->get<std::string>();
  const auto old = metadata.find("_class_name");
  return old == metadata.end() ? "" : old->second;
}

std::string index_text(const Fp8Plan& plan) {
  Json weight_map = Json::object();
  // A tensor that two shards hold belongs to the later one.
  for (const PlannedShard& shard : plan.shards) {
    for (const PlannedTensor& tensor : shard.tensors) weight_map[tensor.target.name] = shard.name;
  }
  Json index = Json::object();
  index["metadata"] = {{"total_size", plan.output_bytes}};
  index["weight_map"] = std::move(weight_map);
  return dump_json(index, {.indent = 2, .sort_keys = true});
}

std::string index_name(const Fp8Source& source) {
  if (source.checkpoint.index_name()) return *source.checkpoint.index_name();
  return std::filesystem::path(source.checkpoint.first_shard()).stem().string() +
         ".safetensors.index.json";
}

}  // namespace

Fp8Documents make_fp8_documents(const Fp8Source& source, Fp8Plan& plan) {
  Fp8Documents documents;
  const Json quantization = output_quantization(source, plan.ignore);
  documents.config = source.merged != nullptr ? source.merged_config : source.config;
  documents.config["quantization_config"] = quantization;
  documents.index_name = index_name(source);
  documents.index = index_text(plan);
  const std::string config_text = dump_json(documents.config, {.sort_keys = true});
  const std::string quantization_text = dump_json(quantization, {.sort_keys = true});
  for (PlannedShard& shard : plan.shards) {
    shard.metadata["_class_name"] = class_name(documents.config, shard.metadata);
    shard.metadata.emplace("format", "pt");
    shard.metadata["config"] = config_text;
    shard.metadata["quantization_config"] = quantization_text;
    shard.metadata["_quantization_metadata"] = quantization_text;
  }
  return documents;
}

}  // namespace ditq
