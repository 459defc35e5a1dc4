#include "convert/fp8_source.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "convert/paths.h"
#include "family/registry.h"

namespace ditq {
namespace {

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string string_member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Json quantization_of(const Json& config, const std::string& path) {
  if (!config.is_object()) {
    throw Error(ErrorCode::json_type, "the config must be a JSON object",
                {.path = path, .found = config.type_name()});
  }
  const auto found = config.find("quantization_config");
  if (found == config.end() || !found->is_object()) {
    throw Error(ErrorCode::not_quantized, "the config has no quantization_config object",
                {.path = path,
                 .expected = "a ModelOpt FP8 export",
                 .found = found == config.end() ? "no quantization_config" : found->type_name(),
                 .advice = "Export with ModelOpt's quantize.py --format fp8 --hf-ckpt-dir"});
  }
  return *found;
}

void check_method(const Json& quantization, const std::string& path) {
  const auto method = quantization.find("quant_method");
  if (method != quantization.end() && *method == "modelopt") return;
  throw Error(ErrorCode::wrong_quant_method, "quantization_config is not ModelOpt's",
              {.path = path,
               .expected = R"(quant_method "modelopt")",
               .found = method == quantization.end() ? "no quant_method" : method->dump()});
}

// Other algorithms whose names contain "FP8" have other scales: block scales, channel scales, other types beside.
void check_algorithm(const Json& quantization, const std::string& path) {
  const auto algorithm = quantization.find("quant_algo");
  if (algorithm == quantization.end() || algorithm->is_null() || *algorithm == "") {
    log_warning(
        "quantization_config has no quant_algo; its amax pairs make it an FP8 export, and FP8 is "
        "written");
    return;
  }
  if (!algorithm->is_string()) {
    throw Error(ErrorCode::json_type, "quant_algo must be a string",
                {.path = path, .found = algorithm->dump()});
  }
  const auto spelling = algorithm->get<std::string>();
  const std::string upper_case = upper(spelling);
  if (upper_case == "FP8") {
    if (spelling != upper_case) {
      log_warning(fmt::format("quant_algo is spelled '{}'; it is kept, and read as FP8", spelling));
    }
    return;
  }
  const bool similar = upper_case.find("FP8") != std::string::npos;
  const bool fp4 = upper_case.find("FP4") != std::string::npos;
  throw Error(similar ? ErrorCode::unsupported : ErrorCode::wrong_quant_method,
              "the export is quantized by another algorithm",
              {.path = path,
               .expected = R"(quant_algo "FP8": one scale for each tensor)",
               .found = algorithm->dump(),
               .advice = fp4 ? "Use ditq build-nvfp4 for NVFP4 exports" : ""});
}

std::vector<std::string> ignore_of(const Json& quantization, const std::string& path) {
  std::vector<std::string> entries;
  const auto found = quantization.find("ignore");
  if (found == quantization.end() || found->is_null()) return entries;
  const bool usable =
      found->is_array() && std::all_of(found->begin(), found->end(),
                                       [](const Json& entry) { return entry.is_string(); });
  if (!usable) {
    throw Error(ErrorCode::json_type, "quantization_config.ignore must be a list of strings",
                {.path = path, .found = found->dump().substr(0, 200)});
  }
  for (const Json& entry : *found) entries.push_back(entry.get<std::string>());
  return entries;
}

// A merged export is known by class, names and metadata together; nothing is assumed when one is missing.
void detect_merged(Fp8Source& source) {
  const std::string class_name = string_member(source.config, "_class_name");
  for (const FamilySpec* family : families()) {
    if (!family->merged_export || family->merged_export->class_name != class_name) continue;
    const MergedExport& form = *family->merged_export;
    const auto& tensors = source.checkpoint.tensors();
    const auto first = tensors.lower_bound(form.prefix);
    if (first == tensors.end() || !first->first.starts_with(form.prefix)) return;
    const SafetensorsFile& shard = source.checkpoint.shards().at(source.checkpoint.first_shard());
    const auto text = shard.metadata.find(form.metadata_key);
    if (text == shard.metadata.end()) return;
    Json document;
    try {
      document = parse_json(text->second, shard.path);
    } catch (const Error&) {
      log_warning(fmt::format("metadata value '{}' is not JSON, so this is read as a plain export",
                              form.metadata_key));
      return;
    }
    if (!document.is_object() || !document.contains(form.metadata_member) ||
        !document[form.metadata_member].is_object()) {
      return;
    }
    source.merged = family;
    source.merged_config = document[form.metadata_member];
    source.merged_config["_class_name"] = form.output_class_name;
  }
}

void require_base(const BuildFp8Request& request,
                  const Fp8Source& source,
                  const Fp8Profile& profile) {
  if (profile.empty() || !request.base_transformer_dir.empty() || source.merged != nullptr) return;
  const std::string who = profile.family != nullptr ? "the " + profile.family->title + " profile"
                                                    : "--keep-bf16-pattern";
  throw Error(
      ErrorCode::usage, "--base-transformer-dir is required",
      {.expected = fmt::format("the BF16 transformer, for the layers that {} keeps in BF16", who),
       .advice = "Or convert without any such layer: --model-type none"});
}

}  // namespace

Fp8Source open_fp8_source(const BuildFp8Request& request, Fp8Profile& profile) {
  const std::string folder = resolve_transformer_dir(request.modelopt_hf_dir, "--modelopt-hf-dir");
  const std::string backbone = resolve_backbone(request.modelopt_backbone_ckpt);
  const std::string base =
      request.base_transformer_dir.empty()
          ? ""
          : resolve_transformer_dir(request.base_transformer_dir, "--base-transformer-dir");
  const std::string config_path = (std::filesystem::path(folder) / "config.json").string();
  Json config = read_json(config_path);
  Json quantization = quantization_of(config, config_path);
  check_method(quantization, config_path);
  check_algorithm(quantization, config_path);
  std::vector<std::string> ignore = ignore_of(quantization, config_path);
  Fp8Source source{.folder = folder,
                   .config_path = config_path,
                   .config = std::move(config),
                   .quantization = std::move(quantization),
                   .ignore = std::move(ignore),
                   .checkpoint = Checkpoint::open(folder),
                   .inputs = {folder, backbone}};
  if (!base.empty()) source.inputs.push_back(base);
  detect_merged(source);
  profile = choose_profile(request, string_member(source.config, "_class_name"), source.merged);
  require_base(request, source, profile);
  source.amax = read_amax_table(backbone);
  if (!base.empty() && !profile.empty()) source.base = Checkpoint::open(base);
  return source;
}

}  // namespace ditq
