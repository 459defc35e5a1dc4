#include "pipeline/state_file.h"

#include <filesystem>

#include "base/error.h"

namespace ditq {

namespace fs = std::filesystem;

std::string weight_key(const std::string& module) {
  return module + ".weight";
}
std::string weight_amax_key(const std::string& module) {
  return amax_key(module + ".weight_quantizer");
}
std::string input_amax_key(const std::string& module) {
  return amax_key(module + ".input_quantizer");
}
std::string pre_quant_scale_key(const std::string& module) {
  return module + ".input_quantizer._pre_quant_scale";
}
std::string low_rank_a_key(const std::string& module) {
  return module + ".weight_quantizer._svdquant_lora_a";
}
std::string low_rank_b_key(const std::string& module) {
  return module + ".weight_quantizer._svdquant_lora_b";
}
std::string amax_key(const std::string& quantizer) {
  return quantizer + "._amax";
}

void replace_file(const std::string& path, const std::function<void(const std::string&)>& write) {
  const std::string temporary = path + ".tmp";
  try {
    write(temporary);
    std::error_code failure;
    fs::rename(temporary, path, failure);
    if (failure) {
      throw Error(ErrorCode::storage, "cannot put a file in its place",
                  {.path = path, .found = failure.message()});
    }
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

void write_statistics(const std::string& path, const Statistics& statistics, const Json& about) {
  std::vector<TensorData> data;
  for (const auto& [name, tensor] : statistics) {
    data.push_back({name, dtype_of(tensor.scalar_type()), shape_of(tensor), bytes_of(tensor)});
  }
  replace_file(path, [&](const std::string& temporary) {
    write_safetensors(temporary, data, {{kCalibrationMetadata, dump_json(about)}});
  });
}

Statistics read_statistics(const SafetensorsFile& file) {
  Statistics out;
  // Copied: the file may be replaced while they live.
  for (const TensorInfo& info : file.tensors) out.emplace(info.name, from_file(info).clone());
  return out;
}

Json calibration_metadata(const SafetensorsFile& file) {
  const auto found = file.metadata.find(kCalibrationMetadata);
  if (found == file.metadata.end()) {
    throw Error(ErrorCode::missing_tensor, "not a file of a calibration",
                {.path = file.path, .expected = std::string("metadata ") + kCalibrationMetadata});
  }
  return parse_json(found->second, file.path);
}

}  // namespace ditq
