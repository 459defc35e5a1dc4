#include "convert/small_export.h"

#include <cstring>
#include <filesystem>
#include <span>

#include "base/float.h"
#include "format/helpers.h"
#include "quant/fp8.h"

namespace ditq::test {
namespace {

constexpr std::int64_t kWidth = 16;
constexpr float kWeightAmax = 1.0f;
constexpr float kInputAmax = 3.0f;

const char* const kQuantized[] = {
    "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_k",
    "transformer_blocks.0.attn.to_out.0", "single_transformer_blocks.0.attn.to_out"};
const char* const kFallback[] = {"x_embedder", "context_embedder", "norm_out.linear"};

OwnedTensor fp8_of(const OwnedTensor& plain, float scale) {
  OwnedTensor out{.dtype = Dtype::f8_e4m3, .shape = plain.shape, .bytes = {}};
  out.bytes.resize(plain.bytes.size() / 2);
  quantize_e4m3(Dtype::bf16, plain.bytes, scale,
                {reinterpret_cast<std::uint8_t*>(out.bytes.data()), out.bytes.size()});
  return out;
}

std::string shard_name(int shard) {
  return "diffusion_pytorch_model-0000" + std::to_string(shard) + "-of-00002.safetensors";
}

}  // namespace

OwnedTensor bf16_tensor(const Shape& shape) {
  OwnedTensor out{.dtype = Dtype::bf16, .shape = shape, .bytes = {}};
  std::size_t count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
  std::vector<std::uint16_t> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = float_to_bf16(static_cast<float>(static_cast<int>(i * 7 % 33) - 16) / 16.0f);
  }
  const auto bytes = std::as_bytes(std::span(values));
  out.bytes.assign(bytes.begin(), bytes.end());
  return out;
}

OwnedTensor f32_scalar(float value) {
  OwnedTensor out{.dtype = Dtype::f32, .shape = {}, .bytes = std::vector<std::byte>(sizeof(value))};
  std::memcpy(out.bytes.data(), &value, sizeof(value));
  return out;
}

SmallExport::SmallExport() {
  config = parse_json(
      R"({"_class_name": "Flux2Transformer2DModel", "num_layers": 1, "quantization_config": {
      "config_groups": {"group_0": {"targets": ["Linear"]}}, "ignore": ["norm_out*", "x_embedder"],
      "quant_algo": "FP8", "producer": {"name": "modelopt"}, "quant_method": "modelopt"}})",
      "config.json");
  for (const char* layer : kFallback)
    base[std::string(layer) + ".weight"] = bf16_tensor({kWidth, kWidth});
  base["transformer_blocks.0.attn.norm_q.weight"] = bf16_tensor({kWidth});
  base["transformer_blocks.0.attn.to_q.bias"] = bf16_tensor({kWidth});
  for (const char* layer : kQuantized)
    base[std::string(layer) + ".weight"] = bf16_tensor({kWidth, 2 * kWidth});
  tensors = base;
  for (const char* layer : kQuantized) {
    const std::string name = layer;
    tensors[name + ".weight"] = fp8_of(base[name + ".weight"], kWeightAmax / kE4m3Max);
    tensors[name + ".weight_scale"] = f32_scalar(kWeightAmax / kE4m3Max);
    tensors[name + ".input_scale"] = f32_scalar(kInputAmax / kE4m3Max);
    amax.push_back({name + ".weight_quantizer._amax", {}, {kWeightAmax}});
    amax.push_back({name + ".input_quantizer._amax", {}, {kInputAmax}});
  }
}

SavedTensor& SmallExport::amax_of(const std::string& name) {
  for (SavedTensor& tensor : amax) {
    if (tensor.name == name) return tensor;
  }
  throw std::out_of_range(name);
}

void SmallExport::split() {
  int next = 0;
  for (const auto& [name, tensor] : tensors) shards[name] = 1 + next++ % 2;
}

void SmallExport::write(const TemporaryFolder& folder) const {
  for (const char* part : {"export", "base"}) std::filesystem::create_directories(folder / part);
  put_file(folder / "export/config.json", dump_json(config));
  put_file(folder / "base/config.json", R"({"_class_name": "Flux2Transformer2DModel"})");
  put_file(folder / "checkpoint.pt", torch_checkpoint(amax));
  write_tensors(folder / "base/diffusion_pytorch_model.safetensors", base);
  if (shards.empty()) {
    write_tensors(folder / "export/diffusion_pytorch_model.safetensors", tensors);
    return;
  }
  Json weight_map = Json::object();
  for (const int shard : {1, 2}) {
    OwnedTensors part;
    for (const auto& [name, tensor] : tensors) {
      if (shards.at(name) != shard) continue;
      part[name] = tensor;
      weight_map[name] = shard_name(shard);
    }
    write_tensors(folder / ("export/" + shard_name(shard)), part);
  }
  put_file(folder / "export/diffusion_pytorch_model.safetensors.index.json",
           dump_json({{"metadata", Json::object()}, {"weight_map", weight_map}}));
}

BuildFp8Request SmallExport::request(const TemporaryFolder& folder) {
  return {.modelopt_hf_dir = folder / "export",
          .modelopt_backbone_ckpt = folder / "checkpoint.pt",
          .output_dir = folder / "out",
          .base_transformer_dir = folder / "base"};
}

}  // namespace ditq::test
