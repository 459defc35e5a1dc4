#include "convert/quant_source.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNvfp4Format = "nvfp4";
constexpr const char* kFp8Format = "float8_e4m3fn";

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// {"format_version": …, "layers": {name: {"format": …}}}, without an algorithm.
bool lists_layers(const Json& document) {
  const Json* layers = member(document, "layers");
  return layers != nullptr && layers->is_object() && member(document, "quant_algo") == nullptr &&
         member(document, "quant_method") == nullptr;
}

class Search {
 public:
  explicit Search(const QuantPlaces& places) : places_(places) {}

  /// What is declared, else what the tensors say.
  QuantFinding declared() {
    read_metadata();
    read_markers();
    const std::optional<QuantConfig> found = declaration();
    if (found) {
      out_.config = *found;
      out_.declared = true;
    } else if (!out_.layers.empty()) {
      take_layers();
    } else {
      infer();
    }
    check_layer_formats();
    if (out_.declared) check_contradiction();
    return finished();
  }

  /// What the tensors say.
  QuantFinding inferred() {
    infer();
    return finished();
  }

 private:
  QuantFinding finished() {
    if (out_.config.scheme != Scheme::none) {
      out_.reasons.push_back(
          fmt::format("{} from {}", name(out_.config.scheme), out_.config.source));
    }
    if (!out_.declared) infer_ignore();
    return std::move(out_);
  }

  /// Documents of the shards' metadata that are JSON, the one of layers apart.
  void read_metadata() {
    for (const char* key : {"_quantization_metadata", "quantization_config"}) {
      for (const auto& [shard, file] : places_.checkpoint->shards()) {
        const auto found = file.metadata.find(key);
        if (found == file.metadata.end()) continue;
        const std::string where = fmt::format("{}, metadata '{}'", file.path, key);
        const std::optional<Json> document = parsed(found->second, where);
        if (!document) continue;
        if (lists_layers(*document)) {
          add_layers((*document)["layers"], where);
        } else {
          metadata_.emplace_back(*document, where);
        }
      }
    }
  }

  /// Text that is no JSON declares nothing, but is not passed over in silence.
  std::optional<Json> parsed(const std::string& text, const std::string& where) {
    try {
      return parse_json(text, where);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::json_syntax) throw;
      out_.reasons.push_back(where + " is no JSON and declares nothing");
      return std::nullopt;
    }
  }

  void add_layers(const Json& layers, const std::string& where) {
    for (const auto& [layer, entry] : layers.items()) {
      const Json* format = entry.is_string() ? &entry : member(entry, "format");
      if (format == nullptr || !format->is_string()) {
        throw Error(ErrorCode::json_type, "a layer's quantization has no format",
                    {.path = where, .tensor = layer, .expected = R"({"format": "nvfp4"})"});
      }
      out_.layers[layer] = format->get<std::string>();
    }
    layer_source_ = where;
  }

  /// `module.comfy_quant`: UTF-8 JSON as bytes.
  void read_markers() {
    constexpr std::string_view kMarker = ".comfy_quant";
    constexpr std::uint64_t kMostBytes = 1 << 16;
    Json layers = Json::object();
    for (const auto& [tensor, info] : places_.checkpoint->tensors()) {
      if (!tensor.ends_with(kMarker)) continue;
      if (info->dtype != Dtype::u8 || info->size > kMostBytes) {
        throw Error(ErrorCode::wrong_dtype, "a layer's quantization marker is no text",
                    {.path = info->file->path(),
                     .tensor = tensor,
                     .expected = "U8, at most 64 KiB",
                     .found = fmt::format("{}, {} bytes", name(info->dtype), info->size)});
      }
      std::string text(info->size, '\0');
      info->file->read(info->offset, std::as_writable_bytes(std::span(text)));
      layers[tensor.substr(0, tensor.size() - kMarker.size())] = marker(text, *info);
    }
    if (layers.empty()) return;
    out_.comfy = true;
    add_layers(layers, places_.checkpoint->path() + ", tensors 'comfy_quant'");
  }

  /// A marker's document. The bytes may be anything, so an error does not repeat them.
  static Json marker(const std::string& text, const TensorInfo& info) {
    try {
      return parse_json(text, info.file->path());
    } catch (const Error& error) {
      throw Error(error.code(), "a layer's quantization marker is no JSON",
                  {.path = info.file->path(),
                   .tensor = info.name,
                   .expected = R"(text such as {"format": "nvfp4"})"});
    }
  }

  std::optional<QuantConfig> of_metadata() const {
    if (metadata_.empty()) return std::nullopt;
    return parse_quant_config(metadata_.front().first, metadata_.front().second);
  }

  static std::optional<QuantConfig> of_config(const Json& config, const std::string& path) {
    const Json* quant = member(config, "quantization_config");
    if (quant == nullptr) return std::nullopt;
    return parse_quant_config(*quant, path);
  }

  std::optional<QuantConfig> of_component() const {
    if (places_.config == nullptr) return std::nullopt;
    return of_config(*places_.config, places_.config_path);
  }

  std::optional<QuantConfig> beside_weights() const {
    const fs::path folder = fs::is_directory(places_.weights)
                                ? fs::path(places_.weights)
                                : fs::path(places_.weights).parent_path();
    const std::string path = (folder / "config.json").string();
    if (!fs::exists(path)) return std::nullopt;
    return of_config(read_config_object(path), path);
  }

  std::optional<QuantConfig> declaration() const {
    if (places_.weights.empty()) {
      if (const auto config = of_component()) return config;
      return of_metadata();
    }
    if (const auto config = of_metadata()) return config;
    if (const auto config = beside_weights()) return config;
    // What the component declares is about weights that were replaced: it counts where the new ones are of its kind.
    const auto config = of_component();
    return config && has_weight(config->scheme) ? config : std::nullopt;
  }

  bool has_weight(Scheme scheme) const {
    const auto& tensors = places_.checkpoint->tensors();
    return std::any_of(tensors.begin(), tensors.end(),
                       [&](const auto& entry) { return scheme_of(entry.first) == scheme; });
  }

  /// The scheme of a weight by its form; nothing for plain weights and other tensors.
  std::optional<Scheme> scheme_of(const std::string& tensor) const {
    const TensorName parts = split_tensor_name(tensor);
    if (parts.parameter != "weight") return std::nullopt;
    const TensorInfo& weight = *places_.checkpoint->find(tensor);
    const TensorInfo* scales = places_.checkpoint->find(parts.module + ".weight_scale");
    if (weight.dtype == Dtype::f8_e4m3) {
      const bool by_row = scales != nullptr && is_scale_by_row(weight, *scales) &&
                          places_.checkpoint->find(parts.module + ".input_scale") == nullptr;
      return by_row ? Scheme::fp8_channel_token : Scheme::fp8;
    }
    if (weight.dtype != Dtype::u8) return std::nullopt;
    const bool marked = format_of(parts.module) == kNvfp4Format;
    const bool blocks =
        scales != nullptr && scales->dtype == Dtype::f8_e4m3 && scales->shape.size() >= 2;
    return blocks || marked ? std::optional(Scheme::nvfp4) : std::nullopt;
  }

  /// One float32 for each of several rows.
  static bool is_scale_by_row(const TensorInfo& weight, const TensorInfo& scales) {
    return weight.shape.size() == 2 && weight.shape[0] > 1 && scales.dtype == Dtype::f32 &&
           scales.elements() == static_cast<std::uint64_t>(weight.shape[0]);
  }

  void take_layers() {
    const bool any_nvfp4 =
        std::any_of(out_.layers.begin(), out_.layers.end(),
                    [](const auto& entry) { return entry.second == kNvfp4Format; });
    out_.config.scheme = any_nvfp4 ? Scheme::nvfp4 : Scheme::fp8;
    out_.config.source = layer_source_;
  }

  void infer() {
    if (has_weight(Scheme::nvfp4)) {
      out_.config.scheme = Scheme::nvfp4;
      out_.config.source = "U8 weights with F8_E4M3 block scales; nothing declares them";
    } else if (has_weight(Scheme::fp8_channel_token)) {
      out_.config.scheme = Scheme::fp8_channel_token;
      out_.config.source =
          "F8_E4M3 weights with a scale for each row and no input scales; nothing declares them";
    } else if (has_weight(Scheme::fp8)) {
      out_.config.scheme = Scheme::fp8;
      out_.config.source = "F8_E4M3 weights with scales; nothing declares them";
    }
  }

  /// Every weight that is not quantized, under its name in the diffusers dialect.
  void infer_ignore() {
    if (out_.config.scheme == Scheme::none) return;
    const DialectNames names(places_.mark);
    std::set<std::string> ignore;
    for (const auto& [tensor, info] : places_.checkpoint->tensors()) {
      const auto place = names.place(tensor);
      if (!place || place->parameter != "weight" || scheme_of(tensor)) continue;
      for (const DialectPart& part : place->parts) ignore.insert(part.module);
    }
    out_.config.ignore.assign(ignore.begin(), ignore.end());
  }

  /// What a layer declares about itself; empty: nothing. Some tools leave the dialect's prefix out of the names.
  std::string format_of(const std::string& module) const {
    const std::string prefix = places_.mark == nullptr ? std::string() : places_.mark->prefix;
    auto found = out_.layers.find(module);
    if (found == out_.layers.end() && module.starts_with(prefix)) {
      found = out_.layers.find(module.substr(prefix.size()));
    }
    return found == out_.layers.end() ? std::string() : found->second;
  }

  void check_layer_formats() const {
    for (const auto& [tensor, info] : places_.checkpoint->tensors()) {
      const TensorName parts = split_tensor_name(tensor);
      if (parts.parameter != "weight") continue;
      const std::string format = format_of(parts.module);
      const Dtype wanted = format == kNvfp4Format ? Dtype::u8 : Dtype::f8_e4m3;
      if (format.empty() || info->dtype == wanted) continue;
      if (format != kNvfp4Format && format != kFp8Format) continue;  // refused below
      throw Error(ErrorCode::wrong_dtype, "a layer is not stored as it declares",
                  {.path = info->file->path(),
                   .tensor = tensor,
                   .expected = fmt::format("{} for {}", name(wanted), format),
                   .found = std::string(name(info->dtype))});
    }
    for (const auto& [layer, format] : out_.layers) {
      if (format == kNvfp4Format || format == kFp8Format || format == "fp8") continue;
      throw Error(ErrorCode::unsupported, "a layer is stored in a format that ditq does not load",
                  {.path = layer_source_,
                   .tensor = layer,
                   .expected = "nvfp4 or float8_e4m3fn",
                   .found = format});
    }
  }

  /// A declared algorithm and weights of the other kind cannot both be right, unless each layer says what it is.
  void check_contradiction() const {
    const Scheme declared = out_.config.scheme;
    bool any = false;
    for (const auto& [tensor, info] : places_.checkpoint->tensors()) {
      const std::optional<Scheme> stored = scheme_of(tensor);
      any = any || info->dtype == (declared == Scheme::nvfp4 ? Dtype::u8 : Dtype::f8_e4m3);
      const bool marked = !format_of(split_tensor_name(tensor).module).empty();
      // Two FP8 schemes differ in their scales; those are checked layer by layer.
      const bool alike = stored && (*stored == Scheme::nvfp4) == (declared == Scheme::nvfp4);
      if (!stored || alike || marked) continue;
      throw Error(
          ErrorCode::wrong_dtype,
          fmt::format("{} is declared, but a weight is {}", name(declared), name(*stored)),
          {.path = info->file->path(),
           .tensor = tensor,
           .expected = fmt::format("{} as {} declares", weight_dtype(declared), out_.config.source),
           .found = std::string(name(info->dtype))});
    }
    if (any) return;
    throw Error(ErrorCode::not_quantized,
                fmt::format("{} is declared, but no weight is stored so", name(declared)),
                {.path = places_.checkpoint->path(),
                 .expected = fmt::format("{} weights", weight_dtype(declared)),
                 .found = "none",
                 .advice = fmt::format(
                     "Declared in {}. Convert the export with 'ditq {}', or remove "
                     "quantization_config",
                     out_.config.source, declared == Scheme::nvfp4 ? "build-nvfp4" : "build-fp8")});
  }

  static const char* weight_dtype(Scheme scheme) {
    return scheme == Scheme::nvfp4 ? "U8" : "F8_E4M3";
  }

  const QuantPlaces& places_;
  QuantFinding out_;
  std::vector<std::pair<Json, std::string>>
      metadata_;  // documents that may name an algorithm, and where
  std::string layer_source_;
};

}  // namespace

Json read_config_object(const std::string& path) {
  Json value = read_json(path);
  if (!value.is_object()) {
    throw Error(ErrorCode::json_type, "the document is not what it should be",
                {.path = path, .expected = "an object", .found = value.type_name()});
  }
  return value;
}

QuantFinding find_quantization(const QuantPlaces& places) {
  return Search(places).declared();
}

QuantFinding infer_quantization(const QuantPlaces& places) {
  return Search(places).inferred();
}

}  // namespace ditq
