#include "family/dialect.h"

#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "family/registry.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

/// Names of a published model's tensors, unfolded (tests/data/family/make_names.py).
std::vector<std::string> published_names(const std::string& model) {
  std::vector<std::string> names;
  std::ifstream file(data("family/" + model + ".txt"));
  std::string name, dtype, shape;
  while (file >> name >> dtype >> shape) {
    const std::size_t open = name.find('{');
    if (open == std::string::npos) {
      names.push_back(name);
      continue;
    }
    const std::size_t close = name.find('}');
    for (int i = std::stoi(name.substr(open + 1));
         i <= std::stoi(name.substr(name.find('-', open) + 1)); ++i)
      names.push_back(name.substr(0, open) + std::to_string(i) + name.substr(close + 1));
  }
  return names;
}

const DialectMark& dialect_of(const FamilySpec& family, const std::string& name) {
  for (const DialectMark& mark : family.dialects) {
    if (mark.dialect == name) return mark;
  }
  throw std::runtime_error("no dialect " + name);
}

std::string with_index(const std::string& pattern, const std::string& index) {
  const std::size_t mark = pattern.find('#');
  return mark == std::string::npos ? pattern
                                   : pattern.substr(0, mark) + index + pattern.substr(mark + 1);
}

/// The stored names that a model's tensors have in a dialect, by the rules read backwards.
std::set<std::string> stored_names(const DialectMark& mark, const std::vector<std::string>& names) {
  std::map<std::string, const DialectRule*> by_part;
  for (const DialectRule& rule : mark.rules) {
    for (const DialectPart& part : rule.parts) by_part.emplace(part.module, &rule);
  }
  std::set<std::string> out;
  for (const std::string& name : names) {
    const TensorName parts = split_tensor_name(name);
    const std::size_t begin = parts.module.find_first_of("0123456789");
    const bool block = parts.module.find("blocks.") != std::string::npos;
    std::string index;
    std::string pattern = parts.module;
    if (block) {
      const std::size_t end = parts.module.find('.', begin);
      index = parts.module.substr(begin, end - begin);
      pattern = parts.module.substr(0, begin) + "#" + parts.module.substr(end);
    }
    const auto rule = by_part.find(pattern);
    if (rule == by_part.end()) throw std::runtime_error("no rule leads to " + name);
    const bool norm = rule->second->module.ends_with("_norm");
    out.insert(mark.prefix + with_index(rule->second->module, index) + "." +
               (norm ? "scale" : parts.parameter));
  }
  return out;
}

/// All diffusers names that stored names are read as.
std::set<std::string> read_names(const DialectMark& mark, const std::set<std::string>& stored) {
  const DialectNames names(&mark);
  std::set<std::string> out;
  for (const std::string& tensor : stored) {
    const auto place = names.place(tensor);
    EXPECT_TRUE(place) << tensor;
    for (const DialectPart& part : place->parts) {
      EXPECT_TRUE(out.insert(TensorName{part.module, place->parameter}.joined()).second) << tensor;
    }
  }
  return out;
}

TEST(Dialect, RulesLeadThereAndBackForEveryPublishedTensor) {
  for (const auto& [family, model] : {std::pair(&flux1_family(), "flux1-dev"),
                                      {&flux1_family(), "flux1-schnell"},
                                      {&flux2_family(), "flux2-dev"}}) {
    const std::vector<std::string> names = published_names(model);
    ASSERT_FALSE(names.empty()) << model;
    for (const char* dialect : {"bfl", "comfy"}) {
      const DialectMark& mark = dialect_of(*family, dialect);
      const std::set<std::string> stored = stored_names(mark, names);
      EXPECT_EQ(read_names(mark, stored), std::set<std::string>(names.begin(), names.end()))
          << model << " " << dialect;
    }
  }
}

// The published file has 731 tensors, and 144 layers with three scales each: 299 others.
// Source: https://github.com/vllm-project/vllm-omni/pull/7835 (the header of black-forest-labs/FLUX.2-dev-NVFP4).
TEST(Dialect, CountsTheTensorsOfBflsNvfp4File) {
  EXPECT_EQ(stored_names(dialect_of(flux2_family(), "bfl"), published_names("flux2-dev")).size(),
            731U - 3 * 144);
}

TEST(Dialect, ReadsNamesWithAndWithoutARule) {
  const DialectNames names(&dialect_of(flux1_family(), "comfy"));
  const std::string prefix = "model.diffusion_model.";
  EXPECT_FALSE(names.place("vae.decoder.conv_in.weight"));
  EXPECT_FALSE(names.place("img_in.weight"));
  EXPECT_EQ(names.place(prefix + "img_in.weight")->parts.front().module, "x_embedder");
  EXPECT_EQ(names.place(prefix + "new_thing.7.weight")->parts.front().module, "new_thing.7");
  EXPECT_EQ(names.place(prefix + "img_in.scale_weight")->parameter, "weight_scale");
  const auto fused = names.place(prefix + "single_blocks.12.linear1.bias");
  ASSERT_EQ(fused->parts.size(), 4U);
  EXPECT_EQ(fused->parts[3].module, "single_transformer_blocks.12.proj_mlp");
  EXPECT_EQ(fused->parts[3].rows, 4);
  EXPECT_TRUE(names.place(prefix + "final_layer.adaLN_modulation.1.weight")->swap_halves);
  const std::vector<std::string> text = {"transformer_blocks.3.attn.add_q_proj",
                                         "transformer_blocks.3.attn.add_k_proj",
                                         "transformer_blocks.3.attn.add_v_proj"};
  EXPECT_EQ(names.modules("double_blocks.3.txt_attn.qkv"), text);
  EXPECT_EQ(names.modules(prefix + "double_blocks.3.txt_attn.qkv"), text);
  EXPECT_EQ(DialectNames(nullptr).place("scaled_fp8")->parameter, "scaled_fp8");
}

}  // namespace
}  // namespace ditq::test
