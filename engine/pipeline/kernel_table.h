#pragma once
// Which of cuBLASLt's kernels runs each product, on disk: lines "device|library version|product|kernel".

#include <cstddef>
#include <functional>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace ditq {

/// One line for each device, library version and product.
class KernelTable {
 public:
  KernelTable() = default;
  /// What a file holds. Errors: those of reading; bad_kernel_table for a line that is none.
  explicit KernelTable(const std::string& path);

  /// In place of the line of the same device, version and product, if there is one.
  void add(const std::string& line);
  std::size_t size() const { return lines_.size(); }
  /// In the order of their keys.
  std::string text() const;

 private:
  std::map<std::string, std::string> lines_;  ///< by all but the kernel
};

/// Takes the choices for the current GPU, before the first product runs; a warning where there are none. On a CPU the
/// file is only checked. Errors: KernelTable's.
void read_kernel_table(const std::string& path, bool gpu);

/// Searches the kernels of all products that take at least a hundredth of the work of `step`, half a minute each, and
/// writes every choice into the table as soon as it is found; the table's other lines stay.
/// Errors: those of the files; interrupted.
void tune_kernels(const std::function<void()>& step, const std::string& path, at::Device device);

}  // namespace ditq
