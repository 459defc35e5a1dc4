#pragma once
// Which of cuBLASLt's kernels runs each product, on disk: lines "device|library version|product|kernel".

#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace ditq {

/// Takes the choices for the current GPU, before the first product runs; a warning where there are none. On a CPU the
/// file is only checked. Errors: those of reading; bad_kernel_table for a line that is none.
void read_kernel_table(const std::string& path, bool gpu);

/// Searches the kernels of all products that take at least a hundredth of the work of `step`, half a minute each, and
/// writes every choice into the table as soon as it is found; the table's other lines stay.
/// Errors: those of the files; interrupted.
void tune_kernels(const std::function<void()>& step, const std::string& path, at::Device device);

/// `old` with the lines of `found` in place of those of the same device, version and product.
std::string merged_kernel_table(const std::string& old, const std::string& found);

}  // namespace ditq
