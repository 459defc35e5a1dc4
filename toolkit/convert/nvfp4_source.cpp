#include "convert/nvfp4_source.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "convert/paths.h"
#include "family/registry.h"

namespace ditq {
namespace {

std::string preset_name(const FamilySpec& family) {
  return family.name + "-nvfp4";
}

std::vector<std::string> preset_patterns(const std::string& preset) {
  if (preset == "none") return {};
  for (const FamilySpec* family : families()) {
    if (!family->nvfp4_fallback.empty() && preset_name(*family) == preset) {
      return family->nvfp4_fallback;
    }
  }
  throw Error(ErrorCode::usage, "unknown --pattern-preset",
              {.expected = fmt::format("one of {}", fmt::join(nvfp4_presets(), ", ")),
               .found = "'" + preset + "'"});
}

KeepPattern compile(const std::string& text, bool from_preset) {
  try {
    return {.text = text, .from_preset = from_preset, .matcher = IgnoreList({text}, "")};
  } catch (const Error& error) {
    throw Error(ErrorCode::bad_pattern, "--keep-bf16-pattern cannot be matched",
                {.expected = "a module name in which * stands for any characters; other "
                             "characters of regular expressions keep their meaning",
                 .found = error.facts().found});
  }
}

// Loaders of NVFP4 compare the exact spelling, and other algorithms whose names contain "FP4" have
// other scales.
void check_algorithm(const ModeloptConfig& config) {
  const auto algorithm = config.quantization.find("quant_algo");
  const bool is_there = algorithm != config.quantization.end() && !algorithm->is_null();
  if (is_there && !algorithm->is_string()) {
    throw Error(ErrorCode::json_type, "quant_algo must be a string",
                {.path = config.path, .found = algorithm->dump()});
  }
  std::string name = is_there ? algorithm->get<std::string>() : "";
  if (name == "NVFP4") return;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const bool fp4 = name.find("FP4") != std::string::npos;
  const bool svd = name.find("SVD") != std::string::npos;
  throw Error(
      fp4 && name != "NVFP4" ? ErrorCode::unsupported : ErrorCode::wrong_quant_method,
      svd ? "an SVDQuant export cannot be mixed with BF16 layers"
          : "the export is quantized by another algorithm",
      {.path = config.path,
       .expected = R"(quant_algo "NVFP4")",
       .found = is_there ? algorithm->dump() : "no quant_algo",
       .advice = svd ? "Its low-rank tensors belong to its own weights: use the export as "
                       "it is, or export with --quant-algo max"
                 : name.find("FP8") != std::string::npos ? "Use ditq build-fp8 for FP8 exports"
                                                         : ""});
}

}  // namespace

std::vector<std::string> nvfp4_presets() {
  std::vector<std::string> names = {"none"};
  for (const FamilySpec* family : families()) {
    if (!family->nvfp4_fallback.empty()) names.push_back(preset_name(*family));
  }
  return names;
}

std::vector<KeepPattern> compile_keep_patterns(const BuildNvfp4Request& request) {
  std::vector<KeepPattern> patterns;
  for (const std::string& text : preset_patterns(request.pattern_preset)) {
    patterns.push_back(compile(text, /*from_preset=*/true));
  }
  for (const std::string& text : request.keep_bf16_patterns) {
    patterns.push_back(compile(text, /*from_preset=*/false));
  }
  return patterns;
}

Nvfp4Source open_nvfp4_source(const BuildNvfp4Request& request) {
  const std::string folder = resolve_transformer_dir(request.modelopt_hf_dir, "--modelopt-hf-dir");
  const std::string base =
      resolve_transformer_dir(request.base_transformer_dir, "--base-transformer-dir");
  ModeloptConfig config = read_modelopt_config(folder, "a ModelOpt NVFP4 export");
  check_algorithm(config);
  return {.folder = folder,
          .config = std::move(config),
          .checkpoint = Checkpoint::open(folder),
          .base = Checkpoint::open(base),
          .inputs = {folder, base}};
}

}  // namespace ditq
