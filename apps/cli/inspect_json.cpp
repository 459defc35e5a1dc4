#include "inspect_report.h"

namespace ditq {
namespace {

/// JSON has null, not "".
Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json layer_json(const LayerReport& layer) {
  return {{"name", layer.name},
          {"dtype", layer.stored},
          {"shape", layer.shape},
          {"quantized", layer.quantized},
          {"weight_scale", or_null(layer.weight_scale)},
          {"input_scale", or_null(layer.input_scale)},
          {"note", or_null(layer.note)},
          {"diffusers", layer.diffusers.empty() ? Json(nullptr) : Json(layer.diffusers)}};
}

Json quantization_json(const CheckpointReport& report) {
  if (report.quant_source.empty()) return nullptr;
  return {{"quant_method", or_null(report.quant_method)},
          {"quant_algo", or_null(report.quant_algo)},
          {"ignored", report.ignored},
          {"declared_in", report.quant_source}};
}

Json checkpoint_json(const CheckpointReport& report, bool layers) {
  Json files = Json::array();
  for (const FileReport& file : report.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}});
  Json dtypes = Json::object();
  for (const auto& [dtype, totals] : report.dtypes) {
    dtypes[dtype] = {{"tensors", totals.tensors}, {"bytes", totals.bytes}};
  }
  std::uint64_t quantized = 0;
  for (const LayerReport& layer : report.layers) quantized += layer.quantized ? 1 : 0;
  Json out = {{"path", report.path},
              {"kind", report.kind},
              {"class_name", or_null(report.class_name)},
              {"family", or_null(report.family)},
              {"variant", or_null(report.variant)},
              {"dialect", report.dialect},
              {"scheme", report.scheme},
              {"reasons", report.reasons},
              {"quantization", quantization_json(report)},
              {"files", files},
              {"index", or_null(report.index)},
              {"tensors", report.tensors},
              {"bytes", report.bytes},
              {"parameters", report.parameters},
              {"dtypes", dtypes},
              {"layer_count", report.layers.size()},
              {"quantized_layers", quantized}};
  if (!layers) return out;
  out["layers"] = Json::array();
  for (const LayerReport& layer : report.layers) out["layers"].push_back(layer_json(layer));
  return out;
}

}  // namespace

Json to_json(const InspectReport& report, bool layers) {
  if (report.checkpoint) return checkpoint_json(*report.checkpoint, layers);
  Json components = Json::array();
  for (const ComponentReport& component : report.components) {
    components.push_back(
        {{"name", component.name},
         {"class_name", or_null(component.class_name)},
         {"bytes", component.bytes},
         {"problem", or_null(component.problem)},
         {"checkpoint",
          component.checkpoint ? checkpoint_json(*component.checkpoint, layers) : Json(nullptr)}});
  }
  return {{"path", report.path},
          {"kind", "pipeline"},
          {"class_name", report.pipeline_class},
          {"components", components}};
}

}  // namespace ditq
