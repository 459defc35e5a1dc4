// Every FP8 conversion of the golden sets: tensors, documents, metadata and statistics as SGLang's builder wrote them.
// tests/data/convert/*.json is made by make_goldens.py there. Inputs come from the checkout where it carries them and
// from the folder of larger goldens where it does not.

#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "base/json.h"
#include "convert/build_fp8.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

std::string sha256(Bytes bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string out;
  for (const unsigned char byte : digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

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
    const fs::path models = source_dir() / "models";
    if (recorded == "sources/bf16-values") return bf16_values();
    if (recorded == "modelopt/fp8-mha/hf/transformer") return mha();
    static const std::map<std::string, std::string> places = {
        {"modelopt/fp8/hf", "models/tiny-flux-modelopt-fp8"},
        {"modelopt/fp8/ckpt/transformer.pt", "models/tiny-flux-modelopt-fp8/transformer.small.pt"},
        {"modelopt/fp8-mha/ckpt/transformer.pt", "tests/data/convert/flux1-tiny-mha/checkpoint.pt"},
        {"tiny-flux/transformer", "models/tiny-flux/transformer"},
        {"tiny-flux", "models/tiny-flux"},
    };
    return (source_dir() / places.at(recorded)).string();
  }

  std::optional<std::string> other(const std::string& recorded) const {
    if (!tracked_) {
      const auto path = golden("golden/families/" + set_ + "/" + recorded);
      return path ? std::optional(path->string()) : std::nullopt;
    }
    static const std::map<std::string, std::string> places = {
        {"modelopt/fp8", "export"},
        {"modelopt/fp8/transformer.small.pt", "checkpoint.pt"},
        {"sources/no-to_k-amax.pt", "no-to_k-amax.pt"},
        {"base", "base"},
        {"base/transformer", "base"},
    };
    return (data("convert/" + set_) / places.at(recorded)).string();
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

std::string row_of(const TensorInfo& tensor, const std::string& shard) {
  std::string shape;
  for (const std::int64_t extent : tensor.shape)
    shape += (shape.empty() ? "" : "x") + std::to_string(extent);
  return tensor.name + " " + std::string(name(tensor.dtype)) + " " + (shape.empty() ? "-" : shape) +
         " " + sha256(tensor.bytes()) + " " + shard;
}

std::set<std::string> expected_rows(const Json& set, const std::string& ranges) {
  std::set<std::string> rows;
  std::istringstream text(ranges);
  for (std::string part; std::getline(text, part, ',');) {
    const std::size_t dash = part.find('-');
    const std::size_t first = std::stoul(part);
    const std::size_t last = dash == std::string::npos ? first : std::stoul(part.substr(dash + 1));
    for (std::size_t i = first; i <= last; ++i) rows.insert(set["tensors"][i].get<std::string>());
  }
  return rows;
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

  std::map<std::string, std::string> rows;  // by tensor: the later shard counts
  std::set<std::string> twice;
  Json metadata = Json::object();
  Json files = Json::object();
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(request->output_dir))
    names.insert(entry.path().filename().string());
  for (const std::string& name : names) {
    const std::string path = request->output_dir + "/" + name;
    if (!name.ends_with(".safetensors")) {
      files[name] = sha256(InputFile::open(path)->map());
      continue;
    }
    const SafetensorsFile shard = SafetensorsFile::open(path);
    metadata[name] = Json::object();
    for (const auto& [key, value] : shard.metadata) metadata[name][key] = sha256(bytes_of(value));
    for (const TensorInfo& tensor : shard.tensors) {
      if (rows.contains(tensor.name)) twice.insert(tensor.name);
      rows[tensor.name] = row_of(tensor, name);
    }
  }
  std::set<std::string> found;
  for (const auto& [name, row] : rows) found.insert(row);
  EXPECT_EQ(found, expected_rows(set, expected["tensors"].get<std::string>()));
  EXPECT_EQ(dump_json(metadata, {.sort_keys = true}),
            dump_json(expected["metadata"], {.sort_keys = true}));
  files.erase("checksums");  // ours alone
  EXPECT_EQ(dump_json(files, {.sort_keys = true}),
            dump_json(expected["files"], {.sort_keys = true}));
  if (expected.contains("written_twice")) {
    EXPECT_EQ(twice, expected["written_twice"].get<std::set<std::string>>());
  }
  // What was written can be read again, written-twice scales included.
  EXPECT_EQ(Checkpoint::open(request->output_dir).tensors().size(), rows.size());
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
