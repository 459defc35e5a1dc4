#include "convert/scale_map.h"

#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/float.h"
#include "base/log.h"
#include "format/torch_pickle.h"

namespace ditq {
namespace {

constexpr std::string_view kWeightAmax = ".weight_quantizer._amax";
constexpr std::string_view kInputAmax = ".input_quantizer._amax";
constexpr std::string_view kMergedPrefix = "model.diffusion_model.";
constexpr std::string_view kCheckpointPrefix = "velocity_model.";

template <typename Value>
Value load(const std::vector<std::byte>& bytes) {
  Value value;
  DITQ_ASSERT(bytes.size() == sizeof(value));
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

float element_of(const TorchTensor& tensor, const std::string& name, const std::string& path) {
  if (tensor.elements() != 1) {
    throw Error(ErrorCode::wrong_shape, "only one amax per tensor can be used",
                {.path = path,
                 .tensor = name,
                 .expected = "one element",
                 .found = to_string(tensor.shape),
                 .advice = "Per-channel calibrations have no counterpart in this format"});
  }
  if (tensor.shape.size() > 1) {
    log_warning(fmt::format("amax '{}' has shape {}; its one element is used", name,
                            to_string(tensor.shape)));
  }
  switch (tensor.storage.dtype) {
    case Dtype::bf16:
      return bf16_to_float(load<std::uint16_t>(tensor.read()));
    case Dtype::f16:
      return f16_to_float(load<std::uint16_t>(tensor.read()));
    case Dtype::f32:
      return load<float>(tensor.read());
    case Dtype::f64:
      return static_cast<float>(load<double>(tensor.read()));
    default:
      throw Error(
          ErrorCode::wrong_dtype, "an amax must be a floating-point number",
          {.path = path, .tensor = name, .found = std::string(ditq::name(tensor.storage.dtype))});
  }
}

const PickleValue::Dict& state_dict_of(const PickleValue& root, const std::string& path) {
  const PickleValue* state = root.find("model_state_dict");
  if (state != nullptr && state->dict() != nullptr) return *state->dict();
  throw Error(ErrorCode::pickle_structure, "the checkpoint has no model_state_dict",
              {.path = path,
               .expected = "a dict with model_state_dict, as ModelOpt saves it",
               .found = root.dict() == nullptr ? "no dict"
                        : state == nullptr     ? "a dict without it"
                                               : "a model_state_dict that is no dict",
               .advice = "Pass the file of --quantized-torch-ckpt-save-path"});
}

struct Halves {
  std::optional<float> weight;
  std::optional<float> input;
};

std::map<std::string, Halves> collect(const PickleValue::Dict& state, const std::string& path) {
  std::map<std::string, Halves> found;
  for (const auto& [key, value] : state) {
    const std::string* name = key->string();
    if (name == nullptr) continue;
    const bool weight = name->ends_with(kWeightAmax);
    if (!weight && !name->ends_with(kInputAmax)) continue;
    const TorchTensor* tensor = value->tensor();
    if (tensor == nullptr) {
      throw Error(ErrorCode::wrong_dtype, "an amax must be a tensor",
                  {.path = path, .tensor = *name});
    }
    const std::size_t suffix = weight ? kWeightAmax.size() : kInputAmax.size();
    Halves& halves = found[name->substr(0, name->size() - suffix) + ".weight"];
    (weight ? halves.weight : halves.input) = element_of(*tensor, *name, path);
  }
  return found;
}

}  // namespace

std::string AmaxTable::key_of(const std::string& tensor) const {
  if (layers.contains(tensor)) return tensor;
  if (!tensor.starts_with(kMergedPrefix)) return "";
  const std::string other = std::string(kCheckpointPrefix) + tensor.substr(kMergedPrefix.size());
  return layers.contains(other) ? other : "";
}

const LayerAmax* AmaxTable::find(const std::string& tensor) const {
  const auto found = layers.find(key_of(tensor));
  return found == layers.end() ? nullptr : &found->second;
}

AmaxTable read_amax_table(const std::string& path) {
  const PicklePtr root = read_torch_checkpoint(path);
  AmaxTable table{.path = path, .layers = {}, .half = {}};
  for (const auto& [layer, halves] : collect(state_dict_of(*root, path), path)) {
    if (halves.weight && halves.input) {
      table.layers[layer] = {*halves.weight, *halves.input};
    } else {
      table.half[layer] = halves.weight ? "input amax" : "weight amax";
    }
  }
  return table;
}

}  // namespace ditq
