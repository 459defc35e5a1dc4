#include "pipeline/kernel_table.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "kernels/cuda_device.h"
#include "ops/gemm_operands.h"
#include "pipeline/output_place.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// Far above what a table of every shape that anybody runs takes.
constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;

/// Products below this share of a step's work are not worth half a minute.
constexpr double kLeastShare = 0.01;

bool is_line(const std::string& line) {
  if (std::ranges::count(line, '|') != 3) return false;
  const std::string kernel = line.substr(line.rfind('|') + 1);
  constexpr std::size_t kDigits = 128;
  return kernel.size() == kDigits &&
         kernel.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// Device, library version and product.
std::string key_of(const std::string& line) {
  return line.substr(0, line.rfind('|'));
}

/// "m4608 n12288 k3072 …".
std::string product_of(const std::string& line) {
  const std::string key = key_of(line);
  return key.substr(key.rfind('|') + 1);
}

double work_of(const GemmUse& use) {
  const GemmProblem& p = use.problem;
  return 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) *
         static_cast<double>(use.launches);
}

/// Those that are worth a search, those with the most work first.
std::vector<GemmUse> worthwhile(std::vector<GemmUse> uses) {
  double all = 0;
  for (const GemmUse& use : uses) all += work_of(use);
  std::erase_if(uses, [&](const GemmUse& use) { return work_of(use) < kLeastShare * all; });
  std::ranges::stable_sort(uses, std::greater(), work_of);
  return uses;
}

void say(const GemmSearch& search) {
  const auto first = std::ranges::find_if(search.finalists, &GemmCandidate::is_first);
  const double best = search.finalists.front().milliseconds;
  const double before = first == search.finalists.end() ? best : first->milliseconds;
  log_info(fmt::format("{}: {:.4f} ms with {}; the library's own choice takes {:.4f}",
                       product_of(search.table_line), best, search.finalists.front().algorithm,
                       before));
}

}  // namespace

KernelTable::KernelTable(const std::string& path) {
  std::istringstream text(read_text(path, kMostBytes));
  std::size_t number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    if (line.empty()) continue;
    if (!is_line(line)) {
      throw Error(ErrorCode::bad_kernel_table, "a table of kernels holds a line that is none",
                  {.path = path,
                   .expected = "device|library version|product|128 hexadecimal digits",
                   .found = fmt::format("line {}: '{}'", number, line),
                   .advice = "'ditq generate --tune-kernels true' writes such a table"});
    }
    add(line);
  }
}

void KernelTable::add(const std::string& line) {
  lines_[key_of(line)] = line;
}

std::string KernelTable::text() const {
  std::string out;
  for (const auto& [key, line] : lines_) out += line + "\n";
  return out;
}

void read_kernel_table(const std::string& path, bool gpu) {
  const KernelTable table(path);
  if (!gpu) return;
  const int taken = cuda().read_gemm_table(table.text(), path);
  if (taken == 0) {
    log_warning(fmt::format("{} has no kernels for {} with {}: the library's choices run", path,
                            cuda().info().name, cuda().libraries()));
    return;
  }
  log_verbose(fmt::format("{}: {} of {} kernels are for this device", path, taken, table.size()));
}

void tune_kernels(const std::function<void()>& step, const std::string& path, at::Device device) {
  KernelTable table = fs::exists(path) ? KernelTable(path) : KernelTable();
  make_folder(fs::path(path).parent_path().string());
  const std::vector<GemmUse> products = worthwhile(cuda().products_of(step));
  cuda().synchronize();
  log_info(
      fmt::format("searching the kernels of {} products, about half a minute each; {} keeps them",
                  products.size(), path));
  ProgressBar bar("kernels", products.size(), "product");
  for (const GemmUse& product : products) {
    check_interrupt();
    const GemmOperands operands(product.problem, device);
    const GemmSearch search = cuda().tune(operands.problem());
    say(search);
    table.add(search.table_line);
    write_text(path, table.text());
    bar.advance();
  }
  bar.finish();
}

}  // namespace ditq
