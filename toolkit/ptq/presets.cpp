#include "ptq/presets.h"

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

constexpr QuantizerConfig kFp8 = {.element = Element::fp8};

void append_fp8(std::vector<QuantizerRule>& rules) {
  rules.push_back({.pattern = "*weight_quantizer", .config = kFp8, .enable = true});
  rules.push_back({.pattern = "*input_quantizer", .config = kFp8, .enable = true});
  rules.push_back({.pattern = "*output_quantizer"});
  rules.push_back({.pattern = "*softmax_quantizer", .config = kFp8, .enable = true});
}

void append_fp4(bool with_attention, std::int64_t block, std::vector<QuantizerRule>& rules) {
  const QuantizerConfig nvfp4 = {.element = Element::nvfp4, .block = block};
  const std::string any = with_attention ? "**" : "*";
  rules.push_back({.pattern = any + "weight_quantizer", .config = nvfp4, .enable = true});
  rules.push_back({.pattern = any + "input_quantizer", .config = nvfp4, .enable = true});
  rules.push_back({.pattern = "*output_quantizer"});
  if (with_attention) {
    for (const char* pattern : {"*[qkv]_bmm_quantizer", "*softmax_quantizer", "*p_bmm_quantizer",
                                "*bmm2_output_quantizer"}) {
      rules.push_back({.pattern = pattern, .config = kFp8, .enable = true});
    }
  } else {
    rules.push_back({.pattern = "*softmax_quantizer", .config = kFp8, .enable = true});
  }
  rules.push_back({.pattern = "*", .layer_norms_only = true});
}

/// Linears outside the inner blocks, switched off before calibration: SVDQuant then leaves them as they are.
void append_block_range(std::int64_t blocks, std::vector<QuantizerRule>& rules) {
  const auto append = [&rules](const std::string& prefix, bool enable) {
    for (const char* kind : {"*weight_quantizer", "*input_quantizer"}) {
      rules.push_back({.pattern = prefix + kind, .enable = enable});
    }
  };
  append("", false);
  append("*transformer_blocks.", true);
  for (const std::int64_t block : {std::int64_t{0}, std::int64_t{1}, blocks - 2, blocks - 1}) {
    append(fmt::format("*transformer_blocks.{}.", block), false);
  }
}

}  // namespace

std::vector<QuantizerRule> preset_rules(const QuantizeModel& model,
                                        const QuantizeRecipe& recipe,
                                        std::int64_t blocks) {
  std::vector<QuantizerRule> rules = {{.pattern = "*"}};
  if (recipe.format == Element::nvfp4) {
    append_fp4(model.fp4_with_attention, recipe.block_size, rules);
  } else {
    append_fp8(rules);
  }
  if (recipe.quantize_mha) {
    rules.push_back({.pattern = "*[qkv]_bmm_quantizer", .config = kFp8, .enable = true});
  }
  if (model.block_range) {
    if (blocks < kLeastBlocks) {
      throw Error(ErrorCode::bad_config, "the model has too few blocks for its recipe",
                  {.expected = fmt::format("at least {} transformer blocks", kLeastBlocks),
                   .found = std::to_string(blocks)});
    }
    append_block_range(blocks, rules);
  }
  return rules;
}

Element parse_format(const std::string& spelling) {
  if (spelling == "fp8") return Element::fp8;
  if (spelling == "fp4") return Element::nvfp4;
  if (spelling == "int8") {
    throw Error(ErrorCode::unsupported, "--format int8 is not built here",
                {.expected = "fp8 or fp4", .found = "int8"});
  }
  throw Error(ErrorCode::usage, "--format: unknown format",
              {.expected = "fp8 or fp4",
               .found = "'" + spelling + "'",
               .advice = spelling == "nvfp4" ? "NVFP4 is spelled fp4, as in ModelOpt" : ""});
}

CalibrationAlgorithm parse_algorithm(const std::string& spelling) {
  if (spelling == "max") return CalibrationAlgorithm::max;
  if (spelling == "svdquant") return CalibrationAlgorithm::svdquant;
  if (spelling == "smoothquant") {
    throw Error(ErrorCode::unsupported, "--quant-algo smoothquant is not built here",
                {.expected = "max or svdquant", .found = "smoothquant"});
  }
  throw Error(ErrorCode::usage, "--quant-algo: unknown algorithm",
              {.expected = "max or svdquant", .found = "'" + spelling + "'"});
}

}  // namespace ditq
