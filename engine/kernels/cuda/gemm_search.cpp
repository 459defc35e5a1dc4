#include "kernels/cuda/gemm_search.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "kernels/cuda/check.h"
#include "kernels/cuda/gemm_choice.h"

namespace ditq {
namespace {

template <typename Value>
Value attribute_of(const cublasLtMatmulAlgo_t& algo, cublasLtMatmulAlgoConfigAttributes_t name) {
  Value value{};
  std::size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algo, name, &value, sizeof(value), &written);
  return value;
}

std::vector<std::uint32_t> tiles_of(const cublasLtMatmulAlgo_t& algo) {
  std::size_t bytes = 0;
  cublasLtMatmulAlgoCapGetAttribute(&algo, CUBLASLT_ALGO_CAP_TILE_IDS, nullptr, 0, &bytes);
  std::vector<std::uint32_t> tiles(bytes / sizeof(std::uint32_t));
  cublasLtMatmulAlgoCapGetAttribute(&algo, CUBLASLT_ALGO_CAP_TILE_IDS, tiles.data(), bytes, &bytes);
  return tiles;
}

class Search {
 public:
  Search(const std::function<bool(const cublasLtMatmulAlgo_t&)>& run, cudaStream_t stream)
      : run_(run), stream_(stream) {
    for (cudaEvent_t* event : {&begin_, &end_})
      cuda_check(cudaEventCreate(event), "cudaEventCreate");
  }
  ~Search() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  /// Milliseconds of one launch, of `count` behind one another; negative if it cannot run.
  float time(const cublasLtMatmulAlgo_t& algo, int count) {
    if (!run_(algo)) return -1;
    cuda_check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    for (int i = 0; i < count; ++i) run_(algo);
    cuda_check(cudaEventRecord(end_, stream_), "cudaEventRecord");
    cuda_check(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    cuda_check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds / static_cast<float>(count);
  }
  /// Under its own load: after `warm` seconds of it, the mean of `seconds`.
  float time_alone(const cublasLtMatmulAlgo_t& algo, double warm, double seconds) {
    const float once = time(algo, 4);
    if (once <= 0) return -1;
    const auto launches = [&](double wanted) {
      return std::max(1, static_cast<int>(wanted * 1000 / static_cast<double>(once)));
    };
    time(algo, launches(warm));
    return time(algo, launches(seconds));
  }

 private:
  const std::function<bool(const cublasLtMatmulAlgo_t&)>& run_;
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

/// Every variant of `base` with this tile that is offered.
std::vector<cublasLtMatmulAlgo_t> variants(
    const cublasLtMatmulAlgo_t& base,
    std::uint32_t tile,
    const std::function<bool(const cublasLtMatmulAlgo_t&)>& offered) {
  int most_options = 0;
  std::size_t written = 0;
  cublasLtMatmulAlgoCapGetAttribute(&base, CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX, &most_options,
                                    sizeof(most_options), &written);
  std::vector<cublasLtMatmulAlgo_t> out;
  for (int cluster = CUBLASLT_CLUSTER_SHAPE_1x1x1; cluster < CUBLASLT_CLUSTER_SHAPE_END;
       ++cluster) {
    for (int option = 0; option <= most_options; ++option) {
      for (const std::uint32_t swizzling : {0U, 1U}) {
        cublasLtMatmulAlgo_t algo = base;
        const GemmChoice choice{.tile = static_cast<cublasLtMatmulTile_t>(tile),
                                .cluster = static_cast<cublasLtClusterShape_t>(cluster),
                                .custom_option = static_cast<std::uint32_t>(option),
                                .swizzling = swizzling};
        if (apply_choice(choice, algo) && offered(algo)) out.push_back(algo);
      }
    }
  }
  return out;
}

bool same_kernel(const cublasLtMatmulAlgo_t& a, const cublasLtMatmulAlgo_t& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

/// The `count` fastest first; what could not run is gone.
void keep_fastest(std::vector<TimedAlgo>& all, std::size_t count) {
  std::erase_if(all, [](const TimedAlgo& timed) { return timed.milliseconds <= 0; });
  std::ranges::stable_sort(all, {}, &TimedAlgo::milliseconds);
  if (all.size() <= count) return;
  const auto behind = all.begin() + static_cast<std::ptrdiff_t>(count);
  const auto first = std::find_if(behind, all.end(), [](const TimedAlgo& t) { return t.is_first; });
  if (first != all.end()) std::iter_swap(first, behind - 1);
  all.resize(count);
}

}  // namespace

std::string describe_algo(const cublasLtMatmulAlgo_t& algo) {
  return fmt::format("tile {}, cluster {}, option {}, swizzle {}, K in {} parts",
                     attribute_of<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_TILE_ID),
                     attribute_of<std::uint16_t>(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
                     attribute_of<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION),
                     attribute_of<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
                     attribute_of<std::int32_t>(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM));
}

std::vector<TimedAlgo> search_gemm(const std::vector<cublasLtMatmulAlgo_t>& candidates,
                                   const std::function<bool(const cublasLtMatmulAlgo_t&)>& offered,
                                   const std::function<bool(const cublasLtMatmulAlgo_t&)>& run,
                                   cudaStream_t stream) {
  constexpr float kNear = 1.3F;
  constexpr int kPatience = 12;
  constexpr std::size_t kPromising = 120;
  constexpr std::size_t kAlone = 20;
  constexpr std::size_t kFinalists = 6;
  constexpr int kRounds = 3;
  Search search(run, stream);
  std::vector<TimedAlgo> all;
  float least = std::numeric_limits<float>::infinity();
  const auto look_at = [&](const cublasLtMatmulAlgo_t& algo) {
    const float milliseconds = search.time(algo, 2);
    all.push_back({algo, milliseconds, all.empty()});
    if (milliseconds > 0) least = std::min(least, milliseconds);
    return milliseconds;
  };
  for (const cublasLtMatmulAlgo_t& algo : candidates) look_at(algo);
  for (const std::uint32_t tile : tiles_of(candidates.front())) {
    int looks = 0;
    bool near = false;
    for (const cublasLtMatmulAlgo_t& algo : variants(candidates.front(), tile, offered)) {
      const auto is_this = [&](const auto& candidate) { return same_kernel(candidate, algo); };
      if (std::ranges::any_of(candidates, is_this)) continue;
      const float milliseconds = look_at(algo);
      near = near || (milliseconds > 0 && milliseconds < kNear * least);
      if (++looks == kPatience && !near) break;
    }
  }
  keep_fastest(all, kPromising);
  for (TimedAlgo& timed : all) timed.milliseconds = search.time(timed.algo, 8);
  keep_fastest(all, kAlone);
  for (TimedAlgo& timed : all) timed.milliseconds = search.time_alone(timed.algo, 0.12, 0.3);
  keep_fastest(all, kFinalists);
  for (TimedAlgo& timed : all) timed.milliseconds = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (TimedAlgo& timed : all) {
      timed.milliseconds += search.time_alone(timed.algo, 0.15, 0.5) / kRounds;
    }
  }
  keep_fastest(all, kFinalists);
  return all;
}

}  // namespace ditq
