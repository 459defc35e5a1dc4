// Every NVFP4 conversion of the golden sets: tensors, documents, metadata and statistics as
// SGLang's builder wrote them. The FLUX.1 export is made anew from the bundled model and ModelOpt's
// scales, so that its recorded bytes are a test of quant/nvfp4.h too; the other families' exports
// come from the folder of larger goldens. tests/data/convert/nvfp4.json is made by
// make_nvfp4_goldens.py there.

#include <algorithm>
#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "convert/build_nvfp4.h"
#include "convert/golden_output.h"
#include "format/checkpoint.h"
#include "format/helpers.h"
#include "support/nvfp4_export.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

const Json& recorded() {
  static const Json json = read_json(data("convert/nvfp4.json").string());
  return json;
}

struct Case {
  std::string set;
  std::string name;
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.set << "/" << one.name;
}

bool is_svdquant(const std::string& name) {
  return name.find("svdquant") != std::string::npos;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& [set, names] : recorded()["sets"].items()) {
    for (const auto& [name, one] : names.items()) {
      if (!is_svdquant(name)) cases.push_back({set, name});
    }
  }
  return cases;
}

// Where a recorded path lies; nothing where it is only beside the checkout, and absent.
std::optional<std::string> place_of(const std::string& set,
                                    const std::string& path,
                                    const TemporaryFolder& folder) {
  if (set == "flux1-tiny" && path == "tiny-flux/transformer") {
    return (tiny_flux() / "transformer").string();
  }
  if (set == "flux1-tiny" && path == "modelopt/nvfp4/hf/transformer") {
    const std::string made = folder / "export";
    write_flux1_nvfp4_export(made);
    return made;
  }
  const auto found = golden("golden/families/" + set + "/" + path);
  return found ? std::optional(found->string()) : std::nullopt;
}

std::optional<BuildNvfp4Request> request_of(const Case& one, const TemporaryFolder& folder) {
  BuildNvfp4Request request;
  const Json& arguments = recorded()["sets"][one.set][one.name]["arguments"];
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto flag = arguments[i].get<std::string>();
    if (flag.ends_with("swap-weight-nibbles")) {
      request.swap_weight_nibbles = flag == "--swap-weight-nibbles";
      continue;
    }
    const auto value = arguments[++i].get<std::string>();
    if (flag == "--pattern-preset") {
      request.pattern_preset = value;
    } else if (flag == "--keep-bf16-pattern") {
      request.keep_bf16_patterns.push_back(value);
    } else {
      const auto path = place_of(one.set, value, folder);
      if (!path) return std::nullopt;
      (flag == "--modelopt-hf-dir" ? request.modelopt_hf_dir : request.base_transformer_dir) =
          *path;
    }
  }
  request.output_dir = folder / "out";
  return request;
}

class Nvfp4Conversion : public testing::TestWithParam<Case> {};

TEST_P(Nvfp4Conversion, EqualsSglangsOutput) {
  const Case& one = GetParam();
  const TemporaryFolder folder;
  const auto request = request_of(one, folder);
  if (!request) GTEST_SKIP() << "needs the larger goldens (DITQ_TEST_DATA)";
  const bool packed = one.set == "flux1-tiny";
  const Json& entry = recorded()["sets"][one.set][one.name];
  const Json manifest = packed ? entry
                               : read_json((*golden("golden/families/" + one.set) / "sglang" /
                                            one.name / "manifest.json")
                                               .string());
  const GoldenOutput expected =
      packed ? read_packed(entry, recorded()["tensors"]) : read_manifest(manifest);

  EXPECT_EQ(to_json_text(build_nvfp4(*request)),
            dump_json(manifest["statistics"], {.indent = 2, .sort_keys = true}));

  const GoldenOutput written = read_output(request->output_dir);
  EXPECT_EQ(written.rows, expected.rows);
  for (const auto& [found, wanted] : {std::pair(&written.metadata, &expected.metadata),
                                      std::pair(&written.files, &expected.files)}) {
    EXPECT_EQ(dump_json(*found, {.sort_keys = true}), dump_json(*wanted, {.sort_keys = true}));
  }
  EXPECT_EQ(Checkpoint::open(request->output_dir).tensors().size(), expected.rows.size());
}

INSTANTIATE_TEST_SUITE_P(Nvfp4,
                         Nvfp4Conversion,
                         testing::ValuesIn(all_cases()),
                         [](const auto& info) {
                           std::string name = info.param.set + "_" + info.param.name;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

TEST(Nvfp4Goldens, HoldEveryRecordedConversion) {
  EXPECT_EQ(all_cases().size(), 28u);
}

TEST(Nvfp4Goldens, ModelOptsExportIsMadeByteForByte) {
  const auto path = golden("golden/flux1-tiny/modelopt/nvfp4/transformer");
  if (!path) GTEST_SKIP() << "needs the larger goldens (DITQ_TEST_DATA)";
  const TemporaryFolder folder;
  write_flux1_nvfp4_export(folder / "export");
  const Checkpoint made = Checkpoint::open(folder / "export");
  const Checkpoint original = Checkpoint::open(path->string());
  ASSERT_EQ(made.tensors().size(), original.tensors().size());
  for (const auto& [name, tensor] : original.tensors()) {
    EXPECT_EQ(made.at(name).dtype, tensor->dtype) << name;
    EXPECT_EQ(made.at(name).shape, tensor->shape) << name;
    EXPECT_TRUE(std::ranges::equal(made.at(name).bytes(), tensor->bytes())) << name;
  }
}

TEST(Nvfp4Goldens, AnSvdquantExportIsRefused) {
  const auto path = golden("golden/flux1-tiny/modelopt/nvfp4-svdquant/transformer");
  if (!path) GTEST_SKIP() << "needs the larger goldens (DITQ_TEST_DATA)";
  const TemporaryFolder folder;
  const auto error = error_of([&] {
    build_nvfp4({.base_transformer_dir = tiny_flux().string(),
                 .modelopt_hf_dir = path->string(),
                 .output_dir = folder / "out",
                 .pattern_preset = "flux1-nvfp4"});
  });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::unsupported);
  EXPECT_EQ(exit_code(error->code()), ExitCode::unsupported);
  EXPECT_FALSE(fs::exists(folder / "out"));
}

}  // namespace
}  // namespace ditq::test
