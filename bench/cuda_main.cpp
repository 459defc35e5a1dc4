// usage: cuda_bench [--table FILE] [--steps N] [--one-stream | --two-streams] [--fast | --precise]
//        [--fp8-attention | --bf16-attention] [--fp4-activations | --bf16-activations] [kernels]
//        [gemms[:PART OF A NAME]] [step:FOLDER]...
// Words count for what follows them.
// Times the GPU engine on this machine, random data throughout: the device's ceilings, every kernel of the case table,
// FLUX.1's products, and whole denoise steps of transformers ('ditq synth' makes them). JSON, one object a line.
// --table: kernels to use, as 'ditq generate --tune-kernels true' found them.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "cuda_bench.h"
#include "kernels/cuda_device.h"
#include "pipeline/device.h"

namespace {

using namespace ditq;

void print(const char* what, const Json& value) {
  if (!value.is_array()) {
    std::printf("%s\n", dump_json({{what, value}}).c_str());
  } else {
    for (const Json& row : value) std::printf("%s\n", dump_json({{what, row}}).c_str());
  }
  std::fflush(stdout);
}

int run(const std::vector<std::string>& words) {
  bench::StepOptions options;
  if (choose_device("cuda").is_cpu()) return 4;
  print("device", {{"name", cuda().info().name}, {"libraries", cuda().libraries()}});
  Json ceilings;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--one-stream" || word == "--two-streams") {
      cuda().use_side_stream(word == "--two-streams");
      print("streams", word == "--two-streams" ? 2 : 1);
    } else if (word == "--fast" || word == "--precise") {
      cuda().use_fast_accumulation(word == "--fast");
      print("accumulation", word.substr(2));
    } else if (word == "--fp8-attention" || word == "--bf16-attention") {
      options.fp8_attention = word == "--fp8-attention";
    } else if (word == "--fp4-activations" || word == "--bf16-activations") {
      options.fp4_activations = word == "--fp4-activations";
    } else if (word == "--steps") {
      options.steps = std::atoi(words.at(++i).c_str());
    } else if (word == "--table") {
      const std::string& path = words.at(++i);
      print("choices read", cuda().read_gemm_table(read_text(path), path));
    } else if (word == "kernels") {
      ceilings = bench::measure_ceilings();
      print("ceiling", ceilings);
      print("kernel", bench::measure_kernels(ceilings));
    } else if (word == "gemms" || word.starts_with("gemms:")) {
      print("gemm", bench::measure_gemms(word.substr(std::min(word.size(), std::size_t{6}))));
    } else if (word.starts_with("step:")) {
      print("step", bench::measure_step(word.substr(5), options));
    } else {
      std::fprintf(stderr, "cuda_bench: unknown word '%s'\n", word.c_str());
      return 2;
    }
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run({words + 1, words + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_bench: %s\n", error.what());
    return 5;
  }
}
