// What cannot be exported, and how it is refused: with a code, before anything is written.

#include <filesystem>
#include <functional>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "ptq/calibration_state.h"
#include "ptq/golden_export.h"
#include "support/owned_tensors.h"
#include "support/paths.h"

namespace ditq::test {
namespace {

namespace fs = std::filesystem;

/// Amax of a recorded calibration as a state file, for a test to damage.
OwnedTensors recorded_amax() {
  const CalibrationState recorded =
      CalibrationState::open((tiny_flux_fp8() / "transformer.small.pt").string());
  OwnedTensors state;
  for (const auto& [name, tensor] : recorded.tensors()) {
    if (!name.ends_with("._amax")) continue;
    const Bytes bytes = tensor->bytes();
    state[name] = {tensor->dtype, tensor->shape, {bytes.begin(), bytes.end()}};
  }
  return state;
}

class Refusals : public testing::Test {
 protected:
  /// The code that exporting from this state ends with.
  ErrorCode code_of(const OwnedTensors& state,
                    const std::function<void(QuantizeRequest&)>& change = {},
                    const std::string& about = R"({"complete": true})") {
    write_tensors(folder_ / "state.safetensors", state, {{"ditq_calibration", about}});
    QuantizeRequest request = restore_request("flux-dev", tiny_flux(), "tiny-flux",
                                              folder_ / "state.safetensors", folder_ / "hf");
    request.format = "fp8";
    if (change) change(request);
    return code_of([&] { quantize(request); });
  }

  ErrorCode code_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_FALSE(fs::exists(folder_ / "hf/transformer")) << "something was written";
      return error.code();
    }
    ADD_FAILURE() << "accepted";
    return ErrorCode::check_failed;
  }

  TemporaryFolder folder_;
  const std::string layer_ = "transformer_blocks.0.attn.to_q";
};

TEST_F(Refusals, OfAStateFileThatIsWhole) {
  write_tensors(folder_ / "state.safetensors", recorded_amax());
  QuantizeRequest request = restore_request("flux-dev", tiny_flux(), "tiny-flux",
                                            folder_ / "state.safetensors", folder_ / "hf");
  request.format = "fp8";
  quantize(request);  // is not refused, and equals the recorded export
  EXPECT_THAT(tensor_differences(folder_ / "hf/transformer", tiny_flux_fp8() / "transformer"),
              testing::IsEmpty());
}

TEST_F(Refusals, OfMissingNegativeZeroAndNanAmax) {
  const auto with = [&](const char* key, float value) {
    OwnedTensors state = recorded_amax();
    state[layer_ + key] = bf16_of({}, {value});
    return code_of(state);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(with(".weight_quantizer._amax", nan), ErrorCode::not_a_number);
  EXPECT_EQ(with(".input_quantizer._amax", std::numeric_limits<float>::infinity()),
            ErrorCode::not_a_number);
  EXPECT_EQ(with(".input_quantizer._amax", -1.0f), ErrorCode::bad_scale);
  EXPECT_EQ(with(".weight_quantizer._amax", 0.0f), ErrorCode::bad_scale);
  EXPECT_EQ(with(".weight_quantizer._amax", 1e-6f), ErrorCode::not_a_number) << "too small";
  OwnedTensors state = recorded_amax();
  state.erase(layer_ + ".input_quantizer._amax");
  EXPECT_EQ(code_of(state), ErrorCode::missing_tensor);
  state = recorded_amax();
  state[layer_ + ".weight_quantizer._amax"] = bf16_of({2}, {1, 2});
  EXPECT_EQ(code_of(state), ErrorCode::wrong_shape);
  state[layer_ + ".weight_quantizer._amax"] = text_tensor("x");
  EXPECT_EQ(code_of(state), ErrorCode::wrong_dtype);
}

TEST_F(Refusals, OfStatesOfOtherModels) {
  OwnedTensors state = recorded_amax();
  state["transformer_blocks.7.attn.to_q.weight_quantizer._amax"] = bf16_of({}, {1});
  EXPECT_EQ(code_of(state), ErrorCode::family_mismatch);
  state = recorded_amax();
  state["other.weight"] = bf16_of({1}, {1});
  EXPECT_EQ(code_of(state), ErrorCode::family_mismatch);
  state = recorded_amax();
  state[layer_ + ".weight"] = bf16_of({1, 2}, {1, 2});
  EXPECT_EQ(code_of(state), ErrorCode::wrong_shape);
}

TEST_F(Refusals, OfUnfinishedAndForeignFiles) {
  EXPECT_EQ(code_of(recorded_amax(), {}, R"({"complete": false})"), ErrorCode::bad_config);
  EXPECT_EQ(code_of(recorded_amax(), {}, "[]"), ErrorCode::bad_config);
  write_text(folder_ / "x.pt", "no archive");
  const auto restore = [&](const std::string& path) {
    return code_of([&] {
      quantize(restore_request("flux-dev", tiny_flux(), "tiny-flux", path, folder_ / "hf"));
    });
  };
  EXPECT_EQ(restore(folder_ / "x.pt"), ErrorCode::zip_structure);
  EXPECT_EQ(restore(folder_ / "none.pt"), ErrorCode::file_not_found);
  EXPECT_EQ(code_of([&] { resolve_state(folder_ / "none", "transformer"); }),
            ErrorCode::file_not_found);
}

TEST_F(Refusals, OfFlagsThatCannotBe) {
  const OwnedTensors state = recorded_amax();
  using Request = QuantizeRequest;
  EXPECT_EQ(code_of(state, [](Request& r) { r.model = "flux"; }), ErrorCode::unsupported);
  EXPECT_EQ(code_of(state, [](Request& r) { r.format = ""; }), ErrorCode::usage);
  EXPECT_EQ(code_of(state, [](Request& r) { r.format = "int8"; }), ErrorCode::unsupported);
  EXPECT_EQ(code_of(state, [](Request& r) { r.algorithm = "svdquant"; }), ErrorCode::usage);
  EXPECT_EQ(code_of(state, [](Request& r) { r.model_dtype = "float16"; }), ErrorCode::usage);
  EXPECT_EQ(code_of(state, [](Request& r) { r.block_size = 8; }), ErrorCode::usage);
  EXPECT_EQ(code_of(state, [](Request& r) { r.backbones = {"unet"}; }), ErrorCode::usage);
  EXPECT_EQ(code_of(state,
                    [](Request& r) {
                      r.backbones = {"transformer", "transformer"};
                    }),
            ErrorCode::usage);
  EXPECT_EQ(code_of(state, [](Request& r) { r.hf_folder = ""; }), ErrorCode::usage);
  EXPECT_EQ(code_of(state, [](Request& r) { r.folder = "/nowhere"; }), ErrorCode::file_not_found);
  EXPECT_EQ(code_of(state, [](Request& r) { r.hf_folder = r.folder + "/hf"; }),
            ErrorCode::output_overlaps);
  EXPECT_EQ(code_of([&] {
              quantize([&] {
                auto r = restore_request("flux-dev", tiny_flux(), "tiny-flux",
                                         tiny_flux_fp8() / "transformer.small.pt", folder_ / "hf");
                r.format = "fp4";
                return r;
              }());
            }),
            ErrorCode::usage)
      << "another format than the checkpoint's";
}

TEST_F(Refusals, OfOutputsThatAreThere) {
  fs::create_directories(folder_ / "hf");
  EXPECT_EQ(code_of(recorded_amax()), ErrorCode::output_exists);
  fs::remove(folder_ / "hf");
  fs::create_directories(folder_ / "ck");
  write_text(folder_ / "ck/transformer.pt", "mine");
  const auto to_checkpoint = [&](QuantizeRequest& request) {
    request.torch_folder = folder_ / "ck";
  };
  EXPECT_EQ(code_of(recorded_amax(), to_checkpoint), ErrorCode::output_exists);
  EXPECT_EQ(text_of(folder_ / "ck/transformer.pt"), "mine");
}

TEST_F(Refusals, OfAnOutputThatHoldsTheCalibration) {
  fs::create_directories(folder_ / "out");
  write_tensors(folder_ / "out/state.safetensors", recorded_amax());
  QuantizeRequest request = restore_request("flux-dev", tiny_flux(), "tiny-flux",
                                            folder_ / "out/state.safetensors", folder_ / "out");
  request.format = "fp8";
  request.overwrite = true;
  EXPECT_EQ(code_of([&] { quantize(request); }), ErrorCode::output_overlaps);
}

TEST_F(Refusals, OfATorchCheckpointWithoutAmax) {
  OwnedTensors state = recorded_amax();
  state.erase(layer_ + ".input_quantizer._amax");
  EXPECT_EQ(code_of(state,
                    [&](QuantizeRequest& request) {
                      request.hf_folder = "";
                      request.torch_folder = folder_ / "ck";
                    }),
            ErrorCode::missing_tensor);
  EXPECT_FALSE(fs::exists(folder_ / "ck/transformer.pt"));
}

TEST_F(Refusals, OfQuantizedModels) {
  const auto request = restore_request("flux-dev", tiny_flux_fp8() / "transformer", "x",
                                       tiny_flux_fp8() / "transformer.small.pt", folder_ / "hf");
  EXPECT_EQ(code_of([&] { quantize(request); }), ErrorCode::wrong_dtype);
}

TEST(OtherDtypes, AreCastAndComputedIn) {
  const TemporaryFolder folder;
  for (const std::string dtype : {"Half", "Float"}) {
    QuantizeRequest request =
        restore_request("flux-dev", tiny_flux(), "tiny-flux",
                        tiny_flux_fp8() / "transformer.small.pt", folder / dtype);
    request.model_dtype = dtype;
    request.component_dtypes = {{"vae", "BFloat16"}};
    quantize(request);
    const OwnedTensors tensors = load_tensors(folder / (dtype + "/transformer"));
    const Dtype expected = dtype == "Half" ? Dtype::f16 : Dtype::f32;
    EXPECT_EQ(tensors.at("proj_out.weight").dtype, expected);
    EXPECT_EQ(tensors.at("transformer_blocks.0.attn.to_q.weight").dtype, Dtype::f8_e4m3);
    EXPECT_THAT(tensor_differences(folder / (dtype + "/vae"), tiny_flux() / "vae"),
                testing::IsEmpty());
    for (const auto& [name, tensor] : load_tensors(folder / (dtype + "/text_encoder_2"))) {
      const bool kept = name.find(".wo.") != std::string::npos;
      EXPECT_EQ(tensor.dtype, kept ? Dtype::f32 : expected) << name;
    }
  }
}

}  // namespace
}  // namespace ditq::test
