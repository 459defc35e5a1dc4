#include "pipeline/kernel_table.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
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

namespace ditq {
namespace {

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

/// All lines but empty ones. Errors: bad_kernel_table, naming `path`.
std::vector<std::string> lines_of(const std::string& table, const std::string& path) {
  std::vector<std::string> out;
  std::istringstream stream(table);
  std::size_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (line.empty()) continue;
    if (!is_line(line)) {
      throw Error(ErrorCode::bad_kernel_table, "a table of kernels holds a line that is none",
                  {.path = path,
                   .expected = "device|library version|product|128 hexadecimal digits",
                   .found = fmt::format("line {}: '{}'", number, line),
                   .advice = "'ditq generate --tune-kernels true' writes such a table"});
    }
    out.push_back(line);
  }
  return out;
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

void read_kernel_table(const std::string& path, bool gpu) {
  const std::string table = read_text(path, kMostBytes);
  const std::size_t count = lines_of(table, path).size();
  if (!gpu) return;
  const int taken = cuda().read_gemm_table(table);
  if (taken == 0) {
    log_warning(fmt::format("{} has no kernels for {} with {}: the library's choices run", path,
                            cuda().info().name, cuda().libraries()));
    return;
  }
  log_verbose(fmt::format("{}: {} of {} lines are for this device", path, taken, count));
}

std::string merged_kernel_table(const std::string& old, const std::string& found) {
  std::map<std::string, std::string> kernels;
  for (const std::string* text : {&old, &found}) {
    std::istringstream stream(*text);
    for (std::string line; std::getline(stream, line);) {
      if (!line.empty()) kernels[key_of(line)] = line;
    }
  }
  std::string out;
  for (const auto& [key, line] : kernels) out += line + "\n";
  return out;
}

void tune_kernels(const std::function<void()>& step, const std::string& path, at::Device device) {
  std::string table;
  if (std::filesystem::exists(path)) {
    table = read_text(path, kMostBytes);
    lines_of(table, path);
  }
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
    table = merged_kernel_table(table, search.table_line);
    write_text(path, table);
    bar.advance();
  }
  bar.finish();
}

}  // namespace ditq
