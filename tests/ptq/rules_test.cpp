// The rules behind exports, one by one: wildcards, filters, presets, ignore lists, orders, and the arithmetic of both
// devices against recorded vectors.

#include <bit>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/float.h"
#include "base/json.h"
#include "ptq/calibration_prompts.h"
#include "ptq/definition_order.h"
#include "ptq/filters.h"
#include "ptq/ignore_summary.h"
#include "ptq/models.h"
#include "ptq/presets.h"
#include "ptq/wildcard.h"
#include "quant/cast.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

using testing::ElementsAre;

std::optional<Json> vectors(const std::string& name) {
  const auto path = golden("../reference/vectors/" + name);
  if (!path) return std::nullopt;
  return read_json(path->string());
}

std::vector<std::byte> bytes_of_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

float float_of_hex(const std::string& hex) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(hex, nullptr, 16)));
}

Dtype dtype_of(const std::string& name) {
  if (name == "bfloat16") return Dtype::bf16;
  return name == "float16" ? Dtype::f16 : Dtype::f32;
}

/// Values in a dtype that holds them exactly.
std::vector<std::byte> stored(const std::vector<float>& values, Dtype dtype) {
  std::vector<std::byte> out(values.size() * bits(dtype) / 8);
  cast_elements(Dtype::f32, std::as_bytes(std::span(values)), dtype, out);
  return out;
}

std::vector<float> values_of(const Json& hex) {
  std::vector<float> values;
  for (const Json& one : hex) {
    if (one.is_array()) {
      const std::vector<float> row = values_of(one);
      values.insert(values.end(), row.begin(), row.end());
    } else {
      values.push_back(float_of_hex(one.get<std::string>()));
    }
  }
  return values;
}

std::string concatenated(const Json& rows) {
  if (rows.is_string()) return rows.get<std::string>();
  std::string text;
  for (const Json& row : rows) text += concatenated(row);
  return text;
}

TEST(Wildcards, MatchAsFnmatchDoes) {
  EXPECT_TRUE(wildcard_match("*weight_quantizer", "a.b.weight_quantizer"));
  EXPECT_TRUE(wildcard_match("**weight_quantizer", "weight_quantizer"));
  EXPECT_TRUE(wildcard_match("*[qkv]_bmm_quantizer", "attn.v_bmm_quantizer"));
  EXPECT_FALSE(wildcard_match("*[qkv]_bmm_quantizer", "attn.p_bmm_quantizer"));
  EXPECT_TRUE(wildcard_match("a[!b-d]?", "aex"));
  EXPECT_FALSE(wildcard_match("a[!b-d]?", "acx"));
  EXPECT_TRUE(wildcard_match("[]]x", "]x"));
  EXPECT_TRUE(wildcard_match("[x", "[x"));
  EXPECT_FALSE(wildcard_match("*transformer_blocks.1.*", "transformer_blocks.10.a"));
  EXPECT_FALSE(wildcard_match("", "a"));
  EXPECT_TRUE(wildcard_match("*", ""));
}

TEST(Filters, KeepWhatModeloptKeeps) {
  const QuantizerFilter flux(NameFilter::flux, "transformer");
  EXPECT_TRUE(flux.disables("proj_out.weight_quantizer"));
  EXPECT_FALSE(flux.disables("single_transformer_blocks.3.proj_out.weight_quantizer"));
  EXPECT_FALSE(flux.disables("transformer_blocks.0.norm1.linear.input_quantizer"));
  EXPECT_TRUE(flux.disables("norm_out.norm.input_quantizer"));
  const QuantizerFilter standard(NameFilter::standard, "transformer");
  EXPECT_FALSE(standard.disables("proj_out.weight_quantizer"));
  const QuantizerFilter wan(NameFilter::wan, "transformer");
  EXPECT_TRUE(wan.disables("blocks.39.ffn.net.2.weight_quantizer"));
  EXPECT_FALSE(wan.disables("blocks.3.ffn.net.2.weight_quantizer"));
  const QuantizerFilter qwen(NameFilter::qwen, "transformer");
  EXPECT_TRUE(qwen.disables("transformer_blocks.1.attn.to_q.weight_quantizer"));
  EXPECT_FALSE(qwen.disables("transformer_blocks.57.attn.to_q.weight_quantizer"));
  EXPECT_TRUE(qwen.disables("transformer_blocks.58.attn.to_q.weight_quantizer"));
  EXPECT_TRUE(qwen.disables("img_in.weight_quantizer"));
  const QuantizerFilter vae(NameFilter::wan, "vae");
  EXPECT_FALSE(vae.disables("mid_block.resnets.0.conv1.weight_quantizer"));
  EXPECT_TRUE(vae.disables("conv_in.weight_quantizer"));
}

TEST(Presets, OfQwenImageNeedSixBlocks) {
  const QuantizeModel& model = find_quantize_model("qwen-image");
  EXPECT_THROW(preset_rules(model, {}, 5), Error);
  const auto rules = preset_rules(model, {}, 6);
  EXPECT_EQ(rules.back().pattern, "*transformer_blocks.5.*input_quantizer");
  EXPECT_FALSE(rules.back().enable);
}

TEST(Presets, RefuseByName) {
  const auto code = [](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::check_failed;
  };
  EXPECT_EQ(code([] { parse_format("int8"); }), ErrorCode::unsupported);
  EXPECT_EQ(code([] { parse_format("nvfp4"); }), ErrorCode::usage);
  EXPECT_EQ(code([] { parse_algorithm("smoothquant"); }), ErrorCode::unsupported);
  EXPECT_EQ(code([] { find_quantize_model("flux"); }), ErrorCode::unsupported);
}

TEST(IgnoreSummary, TakesTheShortestPrefixesThatCoverNothingQuantized) {
  EXPECT_THAT(summarize_ignore({"a.x", "a.y", "b.0.z", "b.1.z", "c"}, {"b.10.z", "c.d"}),
              ElementsAre("a*", "b.0*", "b.1.*", "c"));
  EXPECT_THAT(summarize_ignore({}, {"a"}), ElementsAre());
}

TEST(IgnoreSummary, GivesTheRecordedList) {
  const auto recorded = vectors("calibration_examples.json");
  if (!recorded) GTEST_SKIP() << "no vectors";
  const Json& example = (*recorded)["ignore_list"];
  EXPECT_EQ(summarize_ignore(example["unquantized_in_module_order"], example["quantized"]),
            example["ignore"].get<std::vector<std::string>>());
}

TEST(DefinitionOrder, PutsParametersBeforeChildrenAndQuantizersBehind) {
  std::vector<std::string> names = {"b.10.x.weight",
                                    "b.2.x.weight_quantizer._amax",
                                    "b.2.x.weight",
                                    "b.2.x.bias",
                                    "b.2.q_bmm_quantizer",
                                    "b.2.x.weight_scale",
                                    "b.2.y.weight",
                                    "unknown.weight",
                                    "table",
                                    "b.2.x.input_quantizer._amax",
                                    "b.2.table"};
  DefinitionOrder({"table", "b.#.table", "b.#.y", "b.#.x"}).sort(names);
  EXPECT_THAT(names, ElementsAre("table", "b.2.table", "b.2.y.weight", "b.2.x.weight", "b.2.x.bias",
                                 "b.2.x.weight_scale", "b.2.x.input_quantizer._amax",
                                 "b.2.x.weight_quantizer._amax", "b.2.q_bmm_quantizer",
                                 "b.10.x.weight", "unknown.weight"));
}

TEST(Arithmetic, OfCudaMultipliesByTheReciprocal) {
  EXPECT_EQ(std::bit_cast<std::uint32_t>(fp8_scale(3.0f, Arithmetic::cpu)), 0x3bdb6db7U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(fp8_scale(3.0f, Arithmetic::cuda)), 0x3bdb6db8U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(fp8_scale(5.84375f, Arithmetic::cpu)), 0x3c55b6dbU);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(fp8_scale(5.84375f, Arithmetic::cuda)), 0x3c55b6dcU);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(nvfp4_global_scale(6.0f, Arithmetic::cuda)), 0x3b124925U);
}

TEST(Arithmetic, GivesTheRecordedFp8Weights) {
  const auto recorded = vectors("fp8_weight_examples.json");
  if (!recorded) GTEST_SKIP() << "no vectors";
  for (const Json& example : (*recorded)["examples"]) {
    const Dtype dtype = dtype_of(example["weight_dtype"]);
    const auto weight = stored(values_of(example["input_f32_hex"]), dtype);
    const float amax = example["amax"].get<float>();
    for (const auto& [variant, arithmetic] : {std::pair("true_division", Arithmetic::cpu),
                                              std::pair("reciprocal_multiply", Arithmetic::cuda)}) {
      const Json& expected = example["variants"][variant];
      const float scale = fp8_scale(amax, arithmetic);
      EXPECT_EQ(scale, float_of_hex(expected["weight_scale_f32_hex"]));
      const auto check = [&](const char* rule, float divisor, bool rounding) {
        const auto codes = bytes_of_hex(expected[rule]);
        std::vector<std::uint8_t> ours(codes.size());
        rounding ? quantize_e4m3_exported(dtype, weight, divisor, ours)
                 : quantize_e4m3(dtype, weight, divisor, ours);
        EXPECT_EQ(std::memcmp(ours.data(), codes.data(), codes.size()), 0)
            << example["name"] << " " << variant << " " << rule;
      };
      check("bytes_cpu_rule_hex", fp8_export_divisor(scale, dtype, Arithmetic::cpu), true);
      check("bytes_cuda_rule_hex", fp8_export_divisor(scale, dtype, Arithmetic::cuda), true);
      check("bytes_float32_rule_hex", scale, false);
    }
  }
}

TEST(Arithmetic, GivesTheRecordedNvfp4Weights) {
  const auto recorded = vectors("nvfp4_weight_examples.json");
  if (!recorded) GTEST_SKIP() << "no vectors";
  for (const Json& example : (*recorded)["examples"]) {
    const Dtype dtype = dtype_of(example["weight_dtype"]);
    const auto weight = stored(values_of(example["input_f32_hex"]), dtype);
    const auto block = example["block_size"].get<std::size_t>();
    for (const auto& [variant, arithmetic] : {std::pair("true_division", Arithmetic::cpu),
                                              std::pair("reciprocal_multiply", Arithmetic::cuda)}) {
      const Json& expected = example["variants"][variant];
      const float scale = nvfp4_global_scale(example["amax"].get<float>(), arithmetic);
      EXPECT_EQ(scale, float_of_hex(expected["weight_scale_2_f32_hex"])) << example["name"];
      const auto packed = bytes_of_hex(concatenated(expected["packed_hex"]));
      const auto scales = bytes_of_hex(concatenated(expected["weight_scale_e4m3_hex"]));
      std::vector<std::uint8_t> our_packed(packed.size());
      std::vector<std::uint8_t> our_scales(scales.size());
      quantize_nvfp4(dtype, weight, scale, block, our_packed, our_scales);
      EXPECT_EQ(std::memcmp(our_packed.data(), packed.data(), packed.size()), 0) << example["name"];
      EXPECT_EQ(std::memcmp(our_scales.data(), scales.data(), scales.size()), 0) << example["name"];
    }
  }
}

TEST(Fp8Rounding, IsTheSameOnAllInstructionSets) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 0xffff0000U; bits += 0x2345671U / 16) {
    values.push_back(std::bit_cast<float>(bits));
  }
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16, Dtype::f32}) {
    const auto weight = stored(values, dtype);
    for (const float divisor : {1.0f, 0.0123f, 1e-6f}) {
      std::vector<std::uint8_t> expected(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        std::vector<std::byte> wide(4);
        const std::size_t width = bits(dtype) / 8;
        cast_elements(dtype, Bytes(weight).subspan(i * width, width), Dtype::f32, wide);
        float value = 0;
        std::memcpy(&value, wide.data(), sizeof(value));
        float quotient = value / divisor;
        if (dtype == Dtype::bf16) quotient = bf16_to_float(float_to_bf16(quotient));
        if (dtype == Dtype::f16) quotient = f16_to_float(float_to_f16(quotient));
        expected[i] = encode_e4m3(quotient) & (std::isnan(quotient) ? 0x7fU : 0xffU);
      }
      for (const std::string_view set : fp8_instruction_sets()) {
        use_fp8_instruction_set(set);
        std::vector<std::uint8_t> codes(values.size());
        quantize_e4m3_exported(dtype, weight, divisor, codes);
        for (std::size_t i = 0; i < values.size(); ++i) {
          if ((codes[i] & 0x7fU) == 0x7fU)
            codes[i] = static_cast<std::uint8_t>(
                expected[i] == 0x7fU ? 0x7fU : codes[i]);  // the sign of a NaN is nobody's
        }
        EXPECT_EQ(codes, expected) << set;
      }
    }
  }
  use_fp8_instruction_set(fp8_instruction_sets().front());
}

std::vector<std::string> prompts_of(const std::string& text,
                                    std::int64_t count,
                                    std::int64_t batch) {
  const TemporaryFolder folder;
  const std::string path = folder / "prompts.txt";
  write_text(path, text);
  return read_calibration_prompts(path, count, batch);
}

TEST(CalibrationPrompts, KeepTheirTerminators) {
  EXPECT_THAT(prompts_of("a\nb\r\n\nc", 10, 1), ElementsAre("a\n", "b\n", "\n", "c"));
  EXPECT_THAT(prompts_of("a\rb\n", 10, 1), ElementsAre("a\n", "b\n"));
}

TEST(CalibrationPrompts, FillWholeBatches) {
  EXPECT_THAT(prompts_of("a\nb\nc\nd\ne\n", 3, 2), ElementsAre("a\n", "b\n", "c\n", "d\n"));
  EXPECT_THAT(prompts_of("a\nb\nc\n", 4, 2), ElementsAre("a\n", "b\n", "c\n"));
}

TEST(CalibrationPrompts, RefuseEmptyFilesAndOtherEncodings) {
  EXPECT_THROW(prompts_of("", 1, 1), Error);
  EXPECT_THROW(prompts_of("\xff\n", 1, 1), Error);
}

}  // namespace
}  // namespace ditq::test
