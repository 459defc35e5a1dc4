// Every FP8 conversion of the golden sets: tensors, documents, metadata and statistics as SGLang's builder wrote them.
// tests/data/convert/*.json is made by make_goldens.py there. Inputs come from the checkout where it carries them and
// from the folder of larger goldens where it does not.

#include <filesystem>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "convert/build_fp8.h"
#include "convert/golden_output.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "quant/fp8.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

Json golden_set(const std::string& set) {
  static std::map<std::string, Json> sets;
  const auto [place, is_new] = sets.emplace(set, Json());
  if (is_new) place->second = read_json(data("convert/" + set + ".json").string());
  return place->second;
}

struct Case {
  std::string set;
  std::string name;
  FallbackSet fallback_set = FallbackSet::upstream;
  std::string expected = {};  // the case whose output is expected; empty: its own
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.set << "/" << one.name;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const char* set : {"flux1-tiny", "flux2", "hunyuan-video", "ltx2", "qwen-image", "wan22"}) {
    const Json golden = golden_set(set);
    for (const auto& [name, one] : golden["cases"].items()) {
      cases.push_back({set, name});
      // The option is FLUX.1's: elsewhere its default changes nothing.
      if (std::string(set) != "flux1-tiny") cases.push_back({set, name, FallbackSet::documented});
    }
  }
  const FallbackSet documented = FallbackSet::documented;
  cases.push_back({"flux1-tiny", "fp8-auto", documented, "fp8-flux1-proj-mlp"});
  cases.push_back({"flux1-tiny", "fp8-flux1", documented, "fp8-flux1-proj-mlp"});
  for (const char* name : {"fp8-none", "fp8-maxbound", "fp8-custom", "fp8-variant-name",
                           "fp8-other-family", "fp8-hunyuan"}) {
    cases.push_back({"flux1-tiny", name, documented});
  }
  return cases;
}

// Turns the paths of a recorded command into files.
class Inputs {
 public:
  Inputs(std::string set, bool tracked, const TemporaryFolder& folder)
      : set_(std::move(set)), tracked_(tracked), folder_(folder) {}

  // Nothing where the file is only beside the checkout, and absent.
  std::optional<std::string> find(const std::string& recorded) const {
    if (recorded.starts_with("sources/sharded")) return sharded(recorded.substr(8));
    return set_ == "flux1-tiny" ? flux1(recorded) : other(recorded);
  }

 private:
  std::optional<std::string> flux1(const std::string& recorded) const {
    if (recorded == "sources/bf16-values") return bf16_values();
    if (recorded == "modelopt/fp8-mha/hf/transformer") return mha();
    static const std::map<std::string, fs::path> places = {
        {"modelopt/fp8/hf", tiny_flux_fp8()},
        {"modelopt/fp8/ckpt/transformer.pt", tiny_flux_fp8() / "transformer.small.pt"},
        {"modelopt/fp8-mha/ckpt/transformer.pt", data("convert/flux1-tiny-mha/checkpoint.pt")},
        {"tiny-flux/transformer", tiny_flux() / "transformer"},
        {"tiny-flux", tiny_flux()},
    };
    return places.at(recorded).string();
  }

  std::optional<std::string> other(const std::string& recorded) const {
    if (!tracked_) {
      const auto path = golden("golden/families/" + set_ + "/" + recorded);
      return path ? std::optional(path->string()) : std::nullopt;
    }
    if (set_ == "hunyuan-video" && recorded == "modelopt/fp8") return whole_export();
    static const std::map<std::string, std::string> places = {
        {"modelopt/fp8", "export"},
        {"modelopt/fp8/transformer.small.pt", "checkpoint.pt"},
        {"sources/no-to_k-amax.pt", "no-to_k-amax.pt"},
        {"base", "base"},
        {"base/transformer", "base"},
    };
    return (data("convert/" + set_) / places.at(recorded)).string();
  }

  // The export of which this checkout stores only what the base lacks. It was made on a CPU: codes are
  // E4M3(bf16(w / scale)).
  std::string whole_export() const {
    const std::string made = make_folder("export");
    const fs::path tracked = data("convert/" + set_);
    OwnedTensors tensors = load_tensors((tracked / "export").string());
    for (auto& [name, tensor] : load_tensors((tracked / "base").string())) {
      const auto scale = tensors.find(name + "_scale");
      if (scale == tensors.end()) {
        tensors[name] = tensor;
        continue;
      }
      std::vector<float> quotients = floats_of(tensor);
      for (float& value : quotients) value /= floats_of(scale->second)[0];
      const OwnedTensor rounded = bf16_of(tensor.shape, quotients);
      tensor = {Dtype::f8_e4m3, tensor.shape, std::vector<std::byte>(rounded.bytes.size() / 2)};
      quantize_e4m3(Dtype::bf16, rounded.bytes, 1.0f, codes_of(tensor));
      tensors[name] = tensor;
    }
    write_tensors(made + "/diffusion_pytorch_model.safetensors", tensors);
    fs::copy_file(tracked / "export/config.json", made + "/config.json",
                  fs::copy_options::overwrite_existing);
    return made;
  }

  fs::path export_folder() const {
    const auto root = set_ == "flux1-tiny" ? flux1("modelopt/fp8/hf") : other("modelopt/fp8");
    return fs::exists(fs::path(*root) / "config.json") ? fs::path(*root)
                                                       : fs::path(*root) / "transformer";
  }

  std::string make_folder(const std::string& name) const {
    const fs::path made = folder_.path() / name;
    fs::create_directories(made);
    return made.string();
  }

  // The export's config with the base model's weights.
  std::string bf16_values() const {
    const std::string made = make_folder("bf16-values");
    fs::copy_file(export_folder() / "config.json", made + "/config.json");
    const std::string shard = "diffusion_pytorch_model.safetensors";
    fs::create_symlink(tiny_flux() / "transformer" / shard, made + "/" + shard);
    return made;
  }

  // The export with the tensors that --quantize-mha adds.
  std::string mha() const {
    const std::string made = make_folder("mha");
    const Checkpoint plain = Checkpoint::open(export_folder().string());
    const Checkpoint changed = Checkpoint::open(data("convert/flux1-tiny-mha").string());
    std::vector<TensorData> tensors;
    for (const Checkpoint* checkpoint : {&changed, &plain}) {
      for (const auto& [name, tensor] : checkpoint->tensors()) {
        if (checkpoint == &plain && changed.find(name) != nullptr) continue;
        tensors.push_back({name, tensor->dtype, tensor->shape, tensor->bytes()});
      }
    }
    write_safetensors(made + "/diffusion_pytorch_model.safetensors", tensors, {{"format", "pt"}});
    fs::copy_file(data("convert/flux1-tiny-mha/config.json"), made + "/config.json");
    return made;
  }

  // The export, split by a recorded index.
  std::string sharded(const std::string& source) const {
    const std::string made = make_folder(source);
    const Json recorded = golden_set(set_)["sources"][source];
    const Checkpoint whole = Checkpoint::open(export_folder().string());
    std::map<std::string, std::vector<TensorData>> shards;
    Json weight_map = Json::object();
    for (const Json& row : recorded["tensors"]) {
      std::istringstream text(row.get<std::string>());
      std::string name;
      std::size_t number = 0;
      text >> name >> number;
      const TensorInfo& tensor = whole.at(name);
      const auto shard = recorded["shards"][number].get<std::string>();
      shards[shard].push_back({name, tensor.dtype, tensor.shape, tensor.bytes()});
      weight_map[name] = shard;
    }
    for (const auto& [shard, tensors] : shards)
      write_safetensors(made + "/" + shard, tensors, {{"format", "pt"}});
    put_file(made + "/diffusion_pytorch_model.safetensors.index.json",
             dump_json({{"weight_map", weight_map}}));
    fs::copy_file(export_folder() / "config.json", made + "/config.json");
    return made;
  }

  std::string set_;
  bool tracked_;
  const TemporaryFolder& folder_;
};

// The request of a recorded command, or nothing where an input is absent.
std::optional<BuildFp8Request> request_of(const Json& arguments, const Inputs& inputs) {
  BuildFp8Request request;
  for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const auto flag = arguments[i].get<std::string>();
    const auto value = arguments[i + 1].get<std::string>();
    if (flag == "--model-type") {
      request.model_type = value;
    } else if (flag == "--maxbound") {
      request.maxbound = std::stod(value);
    } else if (flag == "--keep-bf16-pattern") {
      request.keep_bf16_patterns.push_back(value);
    } else {
      const auto path = inputs.find(value);
      if (!path) return std::nullopt;
      (flag == "--modelopt-hf-dir"          ? request.modelopt_hf_dir
       : flag == "--modelopt-backbone-ckpt" ? request.modelopt_backbone_ckpt
                                            : request.base_transformer_dir) = *path;
    }
  }
  return request;
}

class GoldenConversion : public testing::TestWithParam<Case> {};

TEST_P(GoldenConversion, EqualsSglangsOutput) {
  const Json set = golden_set(GetParam().set);
  const Json& recorded = set["cases"][GetParam().name];
  const Json& expected =
      set["cases"][GetParam().expected.empty() ? GetParam().name : GetParam().expected];
  const TemporaryFolder folder;
  const Inputs inputs(GetParam().set, recorded["tracked"].get<bool>(), folder);
  auto request = request_of(recorded["arguments"], inputs);
  if (!request) GTEST_SKIP() << "needs the larger goldens (DITQ_TEST_DATA)";
  request->fallback_set = GetParam().fallback_set;
  request->output_dir = folder / "out";

  EXPECT_EQ(to_json_text(build_fp8(*request)),
            dump_json(expected["statistics"], {.indent = 2, .sort_keys = true}));

  const GoldenOutput written = read_output(request->output_dir);
  const GoldenOutput wanted = read_packed(expected, set["tensors"]);
  EXPECT_EQ(written.rows, wanted.rows);
  EXPECT_EQ(dump_json(written.metadata, {.sort_keys = true}),
            dump_json(wanted.metadata, {.sort_keys = true}));
  EXPECT_EQ(dump_json(written.files, {.sort_keys = true}),
            dump_json(wanted.files, {.sort_keys = true}));
  if (expected.contains("written_twice")) {
    EXPECT_EQ(written.twice, wanted.twice);
  }
  // What was written can be read again, written-twice scales included.
  EXPECT_EQ(Checkpoint::open(request->output_dir).tensors().size(), written.rows.size());
}

INSTANTIATE_TEST_SUITE_P(Fp8,
                         GoldenConversion,
                         testing::ValuesIn(all_cases()),
                         [](const auto& info) {
                           std::string name = info.param.set + "_" + info.param.name;
                           if (info.param.fallback_set == FallbackSet::documented)
                             name += "_documented";
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace ditq::test
