// Two perf.json files, cut at a line "----": read, judged, compared.

#include <cmath>

#include "harness.h"
#include "perf/comparison.h"
#include "perf/fairness.h"
#include "perf/perf_file.h"
#include "perf/samples.h"

namespace {

using namespace ditq;

void use(const PerfFile& baseline, const PerfFile& candidate) {
  fuzz::require(judge_fairness(baseline, baseline).is_fair(), "a run is fair to itself");
  const Fairness fairness = judge_fairness(baseline, candidate);
  const Fairness turned = judge_fairness(candidate, baseline);
  fuzz::require(fairness.differences.size() == turned.differences.size(),
                "fairness does not depend on the order");
  fuzz::require(fairness.only_baseline == turned.only_candidate, "notes change sides");
  fuzz::read("", [&] { require_fair(baseline, candidate); });
  const PerfComparison pair = compare_perf(baseline, candidate);
  for (const PerfFile* file : {&baseline, &candidate}) {
    const PerfParts parts = parts_of(*file);
    fuzz::require(parts.denoise_ms >= 0 && parts.other_ms >= 0, "times are not negative");
  }
  dump_json(to_json(pair));
  dump_json(to_json(fairness));
  if (!baseline.denoise_steps_ms.empty() && baseline.denoise_steps_ms.size() <= 50) {
    speedup(baseline.denoise_steps_ms, {1, 2, 3});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fuzz::Folder folder;
  std::vector<std::string_view> texts = fuzz::parts(fuzz::text_of(data, size));
  texts.resize(2);
  std::vector<PerfFile> files;
  for (const std::string_view text : texts) {
    const std::string& path = folder.put("x.perf.json", text);
    fuzz::read(path, [&] { files.push_back(read_perf(path)); });
  }
  if (files.size() == 2) use(files[0], files[1]);
  return 0;
}
