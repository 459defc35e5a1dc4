#include "ptq/calibration_state.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/float.h"
#include "format/torch_pickle.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFactorA = ".weight_quantizer._svdquant_lora_a";

[[noreturn]] void raise_structure(const std::string& path, const std::string& expected) {
  throw Error(ErrorCode::pickle_structure, "this is no torch checkpoint of ModelOpt",
              {.path = path,
               .expected = expected,
               .advice = "Pass the file of --quantized-torch-ckpt-save-path"});
}

/// Row-major strides without gaps; those of extents of one do not matter.
bool is_contiguous(const TorchTensor& tensor) {
  std::int64_t stride = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

/// A matrix whose columns follow each other without gaps.
bool is_transpose(const TorchTensor& tensor) {
  return tensor.shape.size() == 2 && tensor.strides[0] == 1 && tensor.strides[1] == tensor.shape[0];
}

TensorInfo info_of(const TorchTensor& tensor, const std::string& name, const std::string& path) {
  if (!is_contiguous(tensor) && !is_transpose(tensor)) {
    throw Error(ErrorCode::unsupported, "the checkpoint's tensor is a strided view",
                {.path = path, .tensor = name});
  }
  TensorInfo info = tensor.storage;
  const std::uint64_t width = bits(info.dtype) / 8;
  info.name = name;
  info.shape = tensor.shape;
  info.offset += static_cast<std::uint64_t>(tensor.storage_offset) * width;
  info.size = tensor.elements() * width;
  return info;
}

/// A pickled int, or nothing.
std::optional<std::int64_t> integer(const PickleValue* value) {
  if (value == nullptr) return std::nullopt;
  const auto* number = std::get_if<std::int64_t>(&value->data);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

/// _num_bits: 8, (4, 3) or (2, 1).
Element element_of(const PickleValue* bits, const std::string& name, const std::string& path) {
  const PickleValue::List* pair = bits == nullptr ? nullptr : bits->list();
  if (pair != nullptr && pair->size() == 2) {
    const auto exponent = integer((*pair)[0].get());
    const auto mantissa = integer((*pair)[1].get());
    if (exponent == 4 && mantissa == 3) return Element::fp8;
    if (exponent == 2 && mantissa == 1) return Element::nvfp4;
  }
  if (integer(bits) == 8) return Element::int8;
  throw Error(ErrorCode::unsupported,
              "the checkpoint's quantizer has a format that is not exported",
              {.path = path, .tensor = name, .expected = "FP8 (4, 3) or NVFP4 (2, 1)"});
}

/// _block_sizes: None, or a dict with the last axis' size under -1.
std::int64_t block_of(const PickleValue* blocks) {
  const PickleValue::Dict* dict = blocks == nullptr ? nullptr : blocks->dict();
  if (dict == nullptr) return 0;
  for (const auto& [key, value] : *dict) {
    if (integer(key.get()) == -1) return integer(value.get()).value_or(0);
  }
  return 0;
}

RecordedQuantizer record_of(const PickleValue& attributes,
                            const std::string& name,
                            const std::string& path) {
  const PickleValue* disabled = attributes.find("_disabled");
  const bool* flag = disabled == nullptr ? nullptr : std::get_if<bool>(&disabled->data);
  if (flag == nullptr) raise_structure(path, "_disabled in the state of " + name);
  RecordedQuantizer record;
  record.enabled = !*flag;
  record.config.element = element_of(attributes.find("_num_bits"), name, path);
  record.config.block = block_of(attributes.find("_block_sizes"));
  if (record.enabled && record.config.element == Element::int8) {
    throw Error(ErrorCode::unsupported, "the checkpoint is quantized to INT8",
                {.path = path, .tensor = name, .expected = "FP8 or NVFP4"});
  }
  return record;
}

/// The last mode's quantizer_state: only that one has the final flags.
std::map<std::string, RecordedQuantizer> read_quantizers(const PickleValue& root,
                                                         const std::string& path) {
  const PickleValue* state = root.find("modelopt_state");
  const PickleValue* modes = state == nullptr ? nullptr : state->find("modelopt_state_dict");
  if (modes == nullptr || modes->list() == nullptr || modes->list()->empty()) {
    raise_structure(path, "modelopt_state with a list of modes");
  }
  const PickleValue::List* last = modes->list()->back()->list();
  if (last == nullptr || last->size() != 2) raise_structure(path, "modes of name and state");
  const PickleValue* metadata = (*last)[1]->find("metadata");
  const PickleValue* quantizers = metadata == nullptr ? nullptr : metadata->find("quantizer_state");
  if (quantizers == nullptr || quantizers->dict() == nullptr) {
    raise_structure(path, "quantizer_state in the last mode");
  }
  std::map<std::string, RecordedQuantizer> recorded;
  for (const auto& [key, value] : *quantizers->dict()) {
    if (key->string() == nullptr) raise_structure(path, "quantizer names that are texts");
    recorded[*key->string()] = record_of(*value, *key->string(), path);
  }
  return recorded;
}

float scalar_of(const TensorInfo& tensor) {
  std::byte bytes[8] = {};
  const std::span out = std::span(bytes).first(static_cast<std::size_t>(tensor.size));
  tensor.file->read(tensor.offset, out);
  std::uint16_t half = 0;
  std::memcpy(&half, bytes, sizeof(half));
  switch (tensor.dtype) {
    case Dtype::bf16:
      return bf16_to_float(half);
    case Dtype::f16:
      return f16_to_float(half);
    case Dtype::f32: {
      float value = 0;
      std::memcpy(&value, bytes, sizeof(value));
      return value;
    }
    default: {
      double value = 0;
      std::memcpy(&value, bytes, sizeof(value));
      return static_cast<float>(value);
    }
  }
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32 || dtype == Dtype::f64;
}

}  // namespace

CalibrationState CalibrationState::none(const std::string& path) {
  CalibrationState state;
  state.path_ = path;
  return state;
}

CalibrationState CalibrationState::open(const std::string& path) {
  CalibrationState table;
  table.path_ = path;
  path.ends_with(".safetensors") ? table.read_own(path) : table.read_torch(path);
  return table;
}

void CalibrationState::read_torch(const std::string& path) {
  const PicklePtr root = read_torch_checkpoint(path);
  const PickleValue* state = root->find("model_state_dict");
  if (state == nullptr || state->dict() == nullptr) raise_structure(path, "model_state_dict");
  for (const auto& [key, value] : *state->dict()) {
    if (key->string() == nullptr || value->tensor() == nullptr) continue;
    owned_.push_back(info_of(*value->tensor(), *key->string(), path));
    tensors_[*key->string()] = &owned_.back();
    if (!is_contiguous(*value->tensor())) transposed_.insert(&owned_.back());
  }
  recorded_ = read_quantizers(*root, path);
}

void CalibrationState::read_own(const std::string& path) {
  auto file = std::make_shared<const Checkpoint>(Checkpoint::open(path));
  const SafetensorsFile& shard = file->shards().at(file->first_shard());
  if (const auto found = shard.metadata.find(kCalibrationKey); found != shard.metadata.end()) {
    calibration_ = parse_json(found->second, path);
    // Joint branches say nothing of the kind: they are written in one go.
    if (!calibration_.is_object() || calibration_.value("complete", Json(true)) != true) {
      throw Error(ErrorCode::bad_config, "the calibration that this file records did not finish",
                  {.path = path, .advice = "Run the same command again without --restore-from"});
    }
  }
  tensors_ = file->tensors();
  file_ = std::move(file);
}

void CalibrationState::override_with(CalibrationState other) {
  for (const auto& [name, tensor] : other.tensors_) tensors_[name] = tensor;
  transposed_.merge(other.transposed_);
  below_.push_back(std::make_unique<CalibrationState>(std::move(other)));
}

const TensorInfo* CalibrationState::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

bool CalibrationState::has_factors() const {
  return std::any_of(tensors_.begin(), tensors_.end(),
                     [](const auto& entry) { return entry.first.ends_with(kFactorA); });
}

std::int64_t CalibrationState::rank() const {
  std::int64_t rank = 0;
  for (const auto& [name, tensor] : tensors_) {
    if (!name.ends_with(kFactorA)) continue;
    const std::int64_t rows = tensor->shape.size() == 2 ? tensor->shape[0] : 0;
    if (rows == 0 || (rank != 0 && rows != rank)) {
      throw Error(ErrorCode::wrong_shape, "low-rank factors of one rank are needed",
                  {.path = path_,
                   .tensor = name,
                   .expected = rank == 0 ? "[rank, in]" : fmt::format("[{}, in]", rank),
                   .found = to_string(tensor->shape)});
    }
    rank = rows;
  }
  return rank;
}

float CalibrationState::amax(const std::string& name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) {
    throw Error(
        ErrorCode::missing_tensor, "the layer was not calibrated",
        {.path = path_, .tensor = name, .advice = "Calibrate the same model with the same flags"});
  }
  if (!is_float(tensor->dtype)) {
    throw Error(ErrorCode::wrong_dtype, "an amax must be a floating-point number",
                {.path = path_, .tensor = name, .found = std::string(ditq::name(tensor->dtype))});
  }
  if (tensor->elements() != 1) {
    throw Error(ErrorCode::wrong_shape, "only one amax per tensor can be used",
                {.path = path_,
                 .tensor = name,
                 .expected = "one element",
                 .found = to_string(tensor->shape)});
  }
  const float value = scalar_of(*tensor);
  if (!std::isfinite(value)) {
    throw Error(ErrorCode::not_a_number, "an amax must be finite",
                {.path = path_, .tensor = name, .found = fmt::format("{}", value)});
  }
  if (value < 0) {
    throw Error(ErrorCode::bad_scale, "an amax cannot be negative",
                {.path = path_, .tensor = name, .found = fmt::format("{}", value)});
  }
  return value;
}

std::string state_file_name(const std::string& component) {
  return component + "-calibration.safetensors";
}

std::string resolve_state(const std::string& path, const std::string& component) {
  const fs::path place = fs::absolute(expand_user(path)).lexically_normal();
  std::error_code ignored;
  if (fs::is_regular_file(place, ignored)) return place.string();
  const std::vector<std::string> names = {component + ".pt", "backbone.pt",
                                          state_file_name(component)};
  for (const std::string& name : names) {
    if (fs::is_regular_file(place / name, ignored)) return (place / name).string();
  }
  throw Error(ErrorCode::file_not_found, "--restore-from names no calibrated checkpoint",
              {.path = place.string(),
               .expected = fmt::format("a file, or a folder with {}, {} or {}", names[0], names[1],
                                       names[2]),
               .found = fs::is_directory(place, ignored) ? "a folder without them" : "nothing"});
}

}  // namespace ditq
