#pragma once
// Small safetensors files with what was measured: written whole or not at all.

#include <functional>
#include <map>
#include <string>

#include "base/json.h"
#include "format/safetensors.h"
#include "tensor/tensor.h"

namespace ditq {

/// Tensors by name, on the CPU and contiguous when they are written.
using Statistics = std::map<std::string, Tensor>;

/// The metadata entry that tells how a state file came about.
inline constexpr const char* kCalibrationMetadata = "ditq_calibration";

/// ModelOpt's state-dict keys of a module or quantizer (its reference, 3.4).
std::string weight_key(const std::string& module);
std::string weight_amax_key(const std::string& module);
std::string input_amax_key(const std::string& module);
std::string pre_quant_scale_key(const std::string& module);
std::string low_rank_a_key(const std::string& module);
std::string low_rank_b_key(const std::string& module);
std::string amax_key(const std::string& quantizer);

/// Lets `write` fill a file beside `path`, then puts it in its place; after an error nothing is left.
/// Errors: storage, and those of `write`.
void replace_file(const std::string& path, const std::function<void(const std::string&)>& write);

/// Writes statistics with `about` as kCalibrationMetadata. Errors: storage.
void write_statistics(const std::string& path, const Statistics& statistics, const Json& about);

/// The tensors of a file that write_statistics wrote. Errors: as SafetensorsFile::open.
Statistics read_statistics(const SafetensorsFile& file);

/// What `about` was. Errors: missing_tensor for a file without, json_syntax.
Json calibration_metadata(const SafetensorsFile& file);

}  // namespace ditq
