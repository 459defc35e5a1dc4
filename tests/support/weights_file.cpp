#include "support/weights_file.h"

#include <gtest/gtest.h>

#include "format/safetensors.h"
#include "nn/linear.h"

namespace ditq::test {

void WeightsFile::add(const std::string& name, const Tensor& tensor) {
  tensors_.emplace_back(name, tensor.contiguous());
}

Weights WeightsFile::open(WeightsOptions options) const {
  const TemporaryFolder folder;
  std::vector<TensorData> data;
  for (const auto& [name, tensor] : tensors_) {
    data.push_back({name, dtype_of(tensor.scalar_type()), shape_of(tensor), bytes_of(tensor)});
  }
  const std::string path = folder / "weights.safetensors";
  write_safetensors(path, data, {});
  // An open file outlives its folder.
  return {std::make_shared<const Checkpoint>(Checkpoint::open(path)), std::move(options)};
}

Weights WeightsFile::open(at::ScalarType dtype, QuantConfig quant) const {
  return open({.dtype = dtype, .quant = std::move(quant)});
}

ErrorCode build_error(const WeightsFile& file,
                      std::int64_t k,
                      std::int64_t n,
                      const QuantConfig& quant) {
  try {
    const Linear linear(file.open({.quant = quant}) / "layer", k, n);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("layer."), std::string::npos) << error.what();
    return error.code();
  }
  return ErrorCode::usage;
}

}  // namespace ditq::test
