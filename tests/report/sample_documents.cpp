#include "report/sample_documents.h"

#include <fmt/format.h>

namespace ditq::test {
namespace {

Json run_document(int run) {
  const double stray = 0.001 * (run + 1);
  Json steps = Json::array();
  for (int step = 0; step < 4; ++step) {
    steps.push_back({{"step_index", step},
                     {"cosine_similarity", 1 - stray * step * 0.1},
                     {"mae", stray * (step + 1)},
                     {"rmse", stray * (step + 2)},
                     {"relative_l2", stray * (step + 3)}});
  }
  const Json frame = {
      {"psnr_db", 50.0 - run}, {"ssim", 0.99 - stray}, {"mae", 0.25}, {"clip_similarity", nullptr}};
  return {
      {"index", run},
      {"prompt", fmt::format("a large circle, number {}", run)},
      {"seed", 7 + run},
      {"trajectory_metrics", {{"num_steps", 4}, {"per_step_metrics", steps}}},
      {"output_metrics", {{"frames", {frame}}, {"frame0_metrics", frame}, {"mid_frame_index", 0}}},
      {"picture_findings", {{"reference", Json::array()}, {"candidate", Json::array()}}},
      {"output_files",
       {{"reference", fmt::format("reference-{:03}.png", run)},
        {"candidate", fmt::format("candidate-{:03}.png", run)}}}};
}

Json stage(double median) {
  return {{"median_ms", median}, {"min_ms", median * 0.9}, {"max_ms", median * 1.1}};
}

Json bench_side(double denoise) {
  const Json gpu = {{"sm_clock_mhz", 1755}, {"temperature_c", 51}};
  const Json state = {{"visit", 0}, {"gpu", gpu}, {"cpu", nullptr}};
  return {{"text", stage(40)},
          {"denoise", stage(denoise)},
          {"decode", stage(120)},
          {"step", stage(denoise / 50)},
          {"total", stage(denoise + 180)},
          {"peak_memory_mb", denoise * 4},
          {"load_s", 7.5},
          {"device_state", Json::array({state})}};
}

}  // namespace

Json comparison_document(int runs, bool passed) {
  Json all = Json::array();
  for (int run = 0; run < runs; ++run) all.push_back(run_document(run));
  if (!passed) {
    all[0]["picture_findings"]["candidate"] = {
        {{"kind", "blank"}, {"message", "frame 0 is blank"}}};
  }
  const double worst = 51.0 - runs;
  const Json bars = {
      {{"metric", "cosine"}, {"op", ">="}, {"bar", 0.9}, {"value", 0.9997}, {"holds", true}},
      {{"metric", "psnr"},
       {"op", ">="},
       {"bar", passed ? 20.0 : worst + 2.5},
       {"value", worst},
       {"holds", passed}}};
  return {
      {"model_path", "models/tiny-flux"},
      {"runs", all},
      {"aggregate", {{"psnr", {{"mean", 50.5 - runs / 2.0}, {"confidence_95", 0.5}}}}},
      {"noise_error",
       {{"noise_l2", 0.041},
        {"noise_l2_confidence", 0.001},
        {"per_step", {{{"l2", 0.05}}, {{"l2", 0.04}}, {{"l2", 0.035}}, {{"l2", 0.04}}}}}},
      {"gate", {{"passed", passed}, {"bars", bars}, {"findings", Json::array()}}},
      {"settings", {{"width", 48}, {"height", 32}, {"num_inference_steps", 4}, {"device", "cpu"}}},
      {"sides",
       {{"reference", {{"scheme", "bf16"}, {"weight_bytes", {{"bf16", 18000000}}}}},
        {"candidate",
         {{"scheme", "fp8"}, {"weight_bytes", {{"bf16", 6000000}, {"fp8", 3000000}}}}}}},
      {"versions", {{"ditq", "0.1.0"}, {"libtorch", "2.11.0"}}},
      {"command", {"ditq", "compare", "--prompt", "it's a circle"}}};
}

Json bench_document() {
  return {{"settings", {{"width", 48}}},
          {"order", {"reference", "candidate", "candidate", "reference"}},
          {"warmup_runs", 1},
          {"measure_runs", 3},
          {"reference", bench_side(8000)},
          {"candidate", bench_side(5000)},
          {"speedup", {{"denoise", {{"ratio", 1.6}, {"low", 1.55}, {"high", 1.65}}}}},
          {"peak_memory_ratio", 0.625},
          {"reading", {"The gain belongs in denoising."}},
          {"machine", {{"device", "NVIDIA H200"}}},
          {"versions", {{"ditq", "0.1.0"}}},
          {"command", {"ditq", "bench"}}};
}

Json doctor_document(int blocks) {
  Json layers = Json::array();
  for (int block = blocks - 1; block >= 0; --block) {
    for (const char* kind : {"attn.to_q", "ff.net.2"}) {
      layers.push_back({{"name", fmt::format("transformer_blocks.{}.{}", block, kind)},
                        {"stored", "F8_E4M3"},
                        {"error", 0.026 + 0.0001 * block},
                        {"equals_base", false}});
    }
  }
  layers.push_back(
      {{"name", "x_embedder"}, {"stored", "BF16"}, {"error", 0.0}, {"equals_base", true}});
  return {{"path", "fp8"},
          {"base", "bf16"},
          {"scheme", "fp8"},
          {"healthy", true},
          {"findings", Json::array()},
          {"layers", layers},
          {"machine", {{"cpu", "AMD EPYC"}, {"memory", 24000000000}}}};
}

Json inspect_document(int blocks) {
  Json layers = Json::array();
  const auto add = [&](const std::string& name, const char* dtype, const Json& shape,
                       const Json& note) {
    layers.push_back({{"name", name},
                      {"dtype", dtype},
                      {"shape", shape},
                      {"quantized", note.is_null()},
                      {"note", note}});
  };
  for (int block = 0; block < blocks; ++block) {
    const std::string prefix = fmt::format("transformer_blocks.{}.", block);
    add(prefix + "attn.to_q", "F8_E4M3", {256, 256}, nullptr);
    add(prefix + "ff.net.2", "F8_E4M3", {256, 1024}, nullptr);
    add(prefix + "norm1.linear", "BF16", {1536, 256}, "BF16 fallback of FLUX.1");
    add(prefix + "norm_q", "BF16", {64}, "no matrix: norm or vector");
  }
  add("x_embedder", "BF16", {256, 64}, "ignored by 'x_emb*'");
  return {{"path", "fp8"},    {"kind", "transformer"},        {"scheme", "fp8-sglang"},
          {"bytes", 9000000}, {"layer_count", layers.size()}, {"quantized_layers", 2 * blocks},
          {"layers", layers}};
}

Json record_document() {
  return {{"ditq_record", 1},
          {"algorithm", "FP8"},
          {"base_model", "black-forest-labs/FLUX.1-dev"},
          {"caveats", {"text encoders and VAE stay BF16"}},
          {"validation",
           {{"date", "2026-11-23"},
            {"scope", {{"width", 48}, {"runs", 2}}},
            {"checkpoint",
             {{{"name", "a.safetensors"}, {"bytes", 12}, {"sha256", std::string(64, 'a')}}}},
            {"commands", {"ditq validate --case flux1"}}}}};
}

ReportPair pair_of_pictures(std::int64_t run,
                            std::int64_t width,
                            std::int64_t height,
                            int distance) {
  Picture picture{.width = width, .height = height, .pixels = {}};
  for (std::int64_t i = 0; i < width * height * 3; ++i) {
    picture.pixels.push_back(static_cast<std::uint8_t>((i / 3 + run * 40) % 200));
  }
  ReportPair out{.run = run, .frame_name = "", .reference = picture, .candidate = picture};
  auto& changed = out.candidate.pixels[static_cast<std::size_t>(width + 1) * 3 + 1];
  changed = static_cast<std::uint8_t>(changed + distance);
  return out;
}

ReportInput report_input(int runs, bool passed) {
  ReportInput out{.title = "", .comparison = comparison_document(runs, passed)};
  out.bench = bench_document();
  out.doctor = doctor_document(19);
  out.inspect = inspect_document(19);
  out.record = record_document();
  for (int run = 0; run < runs; ++run) out.pairs.push_back(pair_of_pictures(run, 48, 32, 20));
  return out;
}

}  // namespace ditq::test
