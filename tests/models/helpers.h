#pragma once
// What the tests of networks share: opening weights, reading recorded tensors, comparing, and lists
// of names.

#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "base/json.h"
#include "format/checkpoint.h"
#include "nn/check_weights.h"
#include "tensor/tap.h"
#include "tensor/weights.h"

namespace ditq::test {

inline Weights open_weights(const std::string& path, at::ScalarType dtype) {
  return Weights(std::make_shared<const Checkpoint>(Checkpoint::open(path)), {.dtype = dtype});
}

/// One tensor of a recorded file, as stored.
inline Tensor recorded(const std::string& path, const std::string& name) {
  return from_file(Checkpoint::open(path).at(name));
}

/// Largest difference, in units of the recorded tensor's largest magnitude.
inline double relative_error(const Tensor& ours, const Tensor& theirs) {
  const Tensor expected = theirs.to(at::kDouble);
  const double scale = expected.abs().max().item<double>();
  return ours.to(at::kDouble).sub(expected).abs().max().item<double>() / scale;
}

inline double cosine(const Tensor& ours, const Tensor& theirs) {
  const Tensor a = ours.to(at::kDouble).flatten();
  const Tensor b = theirs.to(at::kDouble).flatten();
  return a.dot(b).item<double>() / (a.norm().item<double>() * b.norm().item<double>());
}

/// Everything that is tapped while it lives, by path.
class Taps {
 public:
  Taps()
      : session_([this](const std::string& path, const Tensor& value) { taps_[path] = value; }) {}
  const Tensor& at(const std::string& path) const { return taps_.at(path); }

 private:
  std::map<std::string, Tensor> taps_;
  TapSession session_;
};

/// A list of lines "name 3x4".
inline std::map<std::string, StoredTensor> read_names(const std::string& path) {
  std::map<std::string, StoredTensor> table;
  std::ifstream in(path);
  std::string name;
  std::string extents;
  while (in >> name >> extents) {
    std::istringstream parts(extents);
    std::string extent;
    while (std::getline(parts, extent, 'x')) table[name].shape.push_back(std::stoll(extent));
  }
  return table;
}

}  // namespace ditq::test
