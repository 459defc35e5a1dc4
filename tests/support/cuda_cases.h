#pragma once
// Problems of the GPU's kernels: those of FLUX.1-dev at 1024 x 1024 first, which the bench times; odd ones after, which
// only the tests run.

#include <cstdint>
#include <vector>

namespace ditq::test {

struct NormCase {
  std::int64_t batch, tokens, width;
  bool update, e4m3;
  bool timed = false;
};

inline const std::vector<NormCase> kNormCases{
    {1, 4608, 3072, true, true, true},  {1, 4608, 3072, false, true, true},
    {1, 4608, 3072, true, false, true}, {1, 512, 3072, true, true, true},
    {2, 320, 256, true, true},          {1, 1, 8, true, false},
    {3, 17, 1024, false, false},        {1, 5, 1032, true, true},
    {1, 3, 8192, true, false},          {2, 2, 6144, false, true},
    {1, 7, 4096, true, true},           {1, 9, 12, true, false},
    {1, 9, 8200, false, true},
};

struct RopeCase {
  std::int64_t batch, tokens, heads, head_dim, text;
  bool timed = false;
};

inline const std::vector<RopeCase> kRopeCases{
    {1, 4608, 24, 128, 512, true}, {2, 320, 2, 128, 64}, {1, 1, 1, 128, 0}, {1, 3, 5, 64, 1},
    {1, 37, 3, 256, 37},           {1, 5, 2, 96, 2},
};

/// Attention over heads of 128 channels: the queries of the last tokens, of which the first `text` are the text's.
struct AttentionCase {
  std::int64_t batch, queries, keys, heads, text;
};

inline const std::vector<AttentionCase> kAttentionCases{
    {1, 4608, 4608, 24, 512}, {1, 1, 1, 1, 0},        {1, 2, 2, 3, 1},
    {1, 33, 33, 2, 5},        {1, 64, 64, 1, 0},      {1, 128, 128, 2, 128},
    {2, 200, 200, 3, 64},     {1, 192, 192, 5, 7},    {3, 517, 517, 7, 100},
    {1, 1000, 1000, 24, 512}, {2, 1153, 1153, 12, 0}, {1, 4096, 4608, 24, 0},
    {2, 1, 129, 3, 0},        {3, 65, 300, 2, 7},     {1, 190, 191, 1, 0},
};

struct QuantizeCase {
  std::int64_t rows, columns, x_stride, out_stride;
  bool gelu;
  bool timed = false;
};

inline const std::vector<QuantizeCase> kQuantizeCases{
    {4608, 12288, 12288, 15360, true, true},
    {4608, 3072, 3072, 15360, false, true},
    {512, 12288, 12288, 12288, true, true},
    {1, 8, 8, 8, true},
    {3, 4104, 4112, 4120, false},
    {17, 20, 20, 20, true},
    {70000, 16, 16, 16, false},
};

/// Rows, output features, input features of a linear layer; the step between rows of its output where that is wider.
struct LinearCase {
  std::int64_t m, n, k;
  bool timed = false;
  std::int64_t out_stride = 0;
};

inline const std::vector<LinearCase> kLinearCases{
    {4608, 9216, 3072, true},
    {4608, 12288, 3072, true, 15360},
    {4608, 3072, 15360, true},
    {4096, 9216, 3072, true},
    {4096, 3072, 3072, true},
    {4096, 12288, 3072, true},
    {4096, 3072, 12288, true},
    {512, 9216, 3072, true},
    {512, 3072, 3072, true},
    {512, 12288, 3072, true},
    {512, 3072, 12288, true},
    {1, 256, 256},
    {17, 64, 4096},
    {320, 1024, 256},
    {3, 16, 16},
    {65, 48, 80},
    {5, 24, 72},
};

}  // namespace ditq::test
