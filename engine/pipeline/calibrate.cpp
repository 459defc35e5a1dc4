#include "pipeline/calibrate.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fnmatch.h>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "ops/abs_max.h"
#include "pipeline/calibration_identity.h"
#include "pipeline/calibration_passes.h"
#include "pipeline/generate.h"
#include "pipeline/output_place.h"
#include "pipeline/svdquant.h"
#include "pipeline/versions.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kSvdquantPasses = 3;

void require_positive(const char* flag, std::int64_t value) {
  if (value >= 1) return;
  throw Error(ErrorCode::usage, fmt::format("{} is out of range", flag),
              {.expected = "at least 1", .found = std::to_string(value)});
}

void check_request(const CalibrateRequest& request) {
  if (request.prompts.empty())
    throw Error(ErrorCode::usage, "there is no prompt to calibrate with");
  if (request.state_file.empty())
    throw Error(ErrorCode::usage, "the calibration has no state file");
  require_positive("--batch-size", request.batch_size);
  require_positive("--n-steps", request.n_steps);
  if (request.algorithm != "max" && request.algorithm != "svdquant") {
    throw Error(ErrorCode::usage, "unknown --quant-algo",
                {.expected = "max or svdquant", .found = request.algorithm});
  }
  if (request.algorithm == "max") return;
  require_positive("--lowrank", request.lowrank);
  require_positive("--block-size", request.block_size);
}

/// A transformer whose weights are quantized has nothing left to calibrate. Errors: unsupported.
void require_unquantized(const Pipeline& pipeline) {
  for (const LayerRecord& layer : pipeline.description().layers) {
    if (layer.scheme == "bf16" || layer.scheme == "f32") continue;
    throw Error(ErrorCode::unsupported, "the transformer is quantized already",
                {.path = pipeline.transformer_weights().path(),
                 .tensor = layer.module,
                 .expected = "weights in full precision",
                 .found = layer.scheme,
                 .advice = "Calibrate the model that it was made from"});
  }
}

bool matches_any(const std::string& module, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    if (::fnmatch(pattern.c_str(), module.c_str(), FNM_NOESCAPE) == 0) return true;
  }
  return false;
}

class Calibration {
 public:
  explicit Calibration(const CalibrateRequest& request);
  CalibrateResult run();

 private:
  std::string partial_file() const { return request_.state_file + ".partial"; }
  std::string split_file() const { return request_.state_file + ".weights"; }
  std::int64_t passes() const { return request_.algorithm == "svdquant" ? kSvdquantPasses : 1; }
  std::int64_t calls() const {
    const auto prompts = static_cast<std::int64_t>(request_.prompts.size());
    return (prompts + request_.batch_size - 1) / request_.batch_size;
  }
  void check_latents() const;
  Json about(bool complete) const;
  bool finished_before() const;
  void resume();
  void save() const;

  std::set<std::string> svdquant_modules() const;
  std::unique_ptr<CalibrationPass> make_pass(std::int64_t pass);
  BatchRequest batch(std::int64_t pass, std::int64_t call) const;
  void run_pass(std::int64_t pass);
  void load_split_pipeline();
  bool has_split_file() const;
  std::map<std::string, Tensor> pre_quant_scales() const;

  void add_weight_amax();
  Json svdquant_layers() const;
  void write_state();

  CalibrateRequest request_;
  std::unique_ptr<Pipeline> pipeline_;
  std::set<std::string> modules_;  ///< that SVDQuant changes
  PictureRequest settings_;
  Json identity_;
  Statistics statistics_;
  std::int64_t done_ = 0;     ///< calls of all passes
  std::int64_t resumed_ = 0;  ///< of these, found done
  std::optional<ProgressBar> bar_;
};

Calibration::Calibration(const CalibrateRequest& request) : request_(request) {
  make_folder(fs::path(request_.state_file).parent_path().string());
  require_writable_file(request_.state_file);
  pipeline_ = load_pipeline(request_.sources, request_.run);
  log_summary(pipeline_->description(), request_.sources.model_path);
  require_unquantized(*pipeline_);
  settings_ = pipeline_->resolve(request_);
  check_latents();
  identity_ = calibration_identity(request_, settings_, *pipeline_);
  if (request_.algorithm == "svdquant") modules_ = svdquant_modules();
}

/// Errors: unsupported for a layer whose rows are not whole blocks.
std::set<std::string> Calibration::svdquant_modules() const {
  std::set<std::string> out;
  for (const LayerRecord& layer : pipeline_->description().layers) {
    if (matches_any(layer.module, request_.svdquant_skip)) continue;
    const Shape& shape = (pipeline_->transformer_weights() / layer.module).info("weight").shape;
    if (shape[1] % static_cast<std::int64_t>(kNvfp4Block) != 0) {
      throw Error(ErrorCode::unsupported, "SVDQuant needs rows of whole NVFP4 blocks",
                  {.tensor = layer.module,
                   .expected = "a multiple of 16 inputs",
                   .found = std::to_string(shape[1]),
                   .advice = "Put the layer on the skip list"});
    }
    out.insert(layer.module);
  }
  return out;
}

/// Errors: missing_tensor, before hours of work are lost over it.
void Calibration::check_latents() const {
  if (request_.latents.empty()) return;
  const SafetensorsFile file = SafetensorsFile::open(request_.latents);
  const std::string last = fmt::format("{:03}", passes() * calls() - 1);
  if (file.find(last) != nullptr) return;
  throw Error(ErrorCode::missing_tensor, "initial latents of some calls are missing",
              {.path = request_.latents,
               .expected = fmt::format("tensors '000' to '{}'", last),
               .found = fmt::format("{} tensors", file.tensors.size())});
}

/// What a state file says of itself.
Json Calibration::about(bool complete) const {
  Json out = identity_;
  out["model"] = request_.sources.model_path;
  out["ditq_version"] = version_document()["ditq"];
  out["passes"] = passes();
  out["calls"] = passes() * calls();
  out["calls_done"] = done_;
  out["complete"] = complete;
  return out;
}

bool Calibration::finished_before() const {
  if (!fs::exists(request_.state_file)) return false;
  const Json found = calibration_metadata(SafetensorsFile::open(request_.state_file));
  check_identity(identity_, found, request_.state_file);
  return true;
}

void Calibration::resume() {
  if (!fs::exists(partial_file())) return;
  const SafetensorsFile file = SafetensorsFile::open(partial_file());
  const Json found = calibration_metadata(file);
  check_identity(identity_, found, partial_file());
  done_ = require_member(found, "calls_done", partial_file()).get<std::int64_t>();
  resumed_ = done_;
  statistics_ = read_statistics(file);
  log_info(
      fmt::format("calibration continues: {} of {} calls are done", done_, passes() * calls()));
}

void Calibration::save() const {
  write_statistics(partial_file(), statistics_, about(/*complete=*/false));
}

BatchRequest Calibration::batch(std::int64_t pass, std::int64_t call) const {
  const auto first = request_.prompts.begin() + call * request_.batch_size;
  const auto left = request_.prompts.end() - first;
  BatchRequest out{.prompts = {first, first + std::min(left, request_.batch_size)},
                   .settings = settings_};
  out.settings.seed = noise_seed(request_.seed, pass, call);
  if (!request_.latents.empty()) {
    out.settings.latents = fmt::format("{}:{:03}", request_.latents, pass * calls() + call);
  }
  return out;
}

std::unique_ptr<CalibrationPass> Calibration::make_pass(std::int64_t pass) {
  if (request_.algorithm == "svdquant" && pass == 0) {
    return std::make_unique<ActivationPass>(statistics_, modules_);
  }
  if (request_.algorithm == "svdquant" && pass == 1) {
    return std::make_unique<SearchPass>(statistics_, pipeline_->transformer_weights(), modules_,
                                        request_.block_size);
  }
  return std::make_unique<MaxPass>(statistics_, pre_quant_scales());
}

void Calibration::run_pass(std::int64_t pass) {
  const std::int64_t end = (pass + 1) * calls();
  if (done_ >= end) return;
  const std::unique_ptr<CalibrationPass> listener = make_pass(pass);
  while (done_ < end) {
    pipeline_->denoise_batch(batch(pass, done_ - pass * calls()), *listener, [&] {
      listener->check();
      bar_->advance();
    });
    listener->fetch();
    ++done_;
    save();
  }
}

bool Calibration::has_split_file() const {
  if (!fs::exists(split_file())) return false;
  check_identity(identity_, calibration_metadata(SafetensorsFile::open(split_file())),
                 split_file());
  return true;
}

/// Between the second pass and the third: the network with its low-rank branches takes the place of the first one.
void Calibration::load_split_pipeline() {
  if (!has_split_file()) {
    write_split_weights(split_file(), pipeline_->transformer_weights(), statistics_,
                        {.modules = modules_,
                         .rank = request_.lowrank,
                         .block = request_.block_size,
                         .about = about(/*complete=*/false)});
  }
  PipelineSources sources = request_.sources;
  sources.transformer_weights_path = split_file();
  pipeline_.reset();
  pipeline_ = load_pipeline(sources, request_.run);
}

std::map<std::string, Tensor> Calibration::pre_quant_scales() const {
  std::map<std::string, Tensor> out;
  for (const std::string& module : modules_) {
    const Weights w = pipeline_->transformer_weights() / module;
    out.emplace(module, w.plain("pre_quant_scale", w.info("pre_quant_scale").shape));
  }
  return out;
}

/// Errors: not_a_number.
void Calibration::add_weight_amax() {
  for (const LayerRecord& layer : pipeline_->description().layers) {
    const Weights w = pipeline_->transformer_weights() / layer.module;
    const Tensor amax = abs_max(w.plain("weight", w.info("weight").shape)).cpu();
    if (!amax.isfinite().item<bool>()) {
      ErrorFacts facts = w.where("weight");
      throw Error(ErrorCode::not_a_number, "a weight holds NaN or infinite values",
                  {.path = facts.path, .tensor = facts.tensor});
    }
    statistics_[weight_amax_key(layer.module)] = amax;
  }
  pipeline_->transformer_weights().release_pages();
}

/// The chosen alpha and all losses by layer.
Json Calibration::svdquant_layers() const {
  Json out = Json::object();
  for (const std::string& module : modules_) {
    const auto losses = statistics_.find(losses_key(module));
    if (losses == statistics_.end()) continue;
    const float* first = losses->second.const_data_ptr<float>();
    out[module] = {{"alpha", best_alpha(losses->second)},
                   {"losses", std::vector<float>(first, first + losses->second.numel())}};
  }
  return out;
}

/// The finished state: statistics, and the changed weights from the split file as they stand there.
void Calibration::write_state() {
  Json complete = about(/*complete=*/true);
  if (!modules_.empty()) complete["layers"] = svdquant_layers();
  std::map<std::string, Tensor> values;
  for (const auto& [name, value] : statistics_) {
    if (name.ends_with("._amax")) values.emplace(name, value);
  }
  for (const std::string& module : modules_) {
    const Weights w = pipeline_->transformer_weights() / module;
    values.emplace(weight_key(module), w.raw("weight"));
    values.emplace(pre_quant_scale_key(module), w.raw("pre_quant_scale"));
    values.emplace(low_rank_a_key(module), w.raw("svdquant_lora_a"));
    values.emplace(low_rank_b_key(module), w.raw("svdquant_lora_b"));
  }
  write_statistics(request_.state_file, values, complete);
  std::error_code ignored;
  fs::remove(partial_file(), ignored);
  fs::remove(split_file(), ignored);
}

CalibrateResult Calibration::run() {
  const Clock::time_point begin = Clock::now();
  const std::int64_t all = passes() * calls();
  if (finished_before()) {
    log_info(fmt::format("{}: calibrated already", request_.state_file));
    done_ = all;
    resumed_ = all;
  } else {
    resume();
    bar_.emplace("calibrating", static_cast<std::uint64_t>((all - done_) * settings_.steps),
                 "step");
    for (std::int64_t pass = 0; pass < passes(); ++pass) {
      if (pass == kSvdquantPasses - 1) load_split_pipeline();
      run_pass(pass);
    }
    bar_->finish();
    add_weight_amax();
    write_state();
  }
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  const SafetensorsFile state = SafetensorsFile::open(request_.state_file);
  return {.summary = {{"state_file", request_.state_file},
                      {"algorithm", request_.algorithm},
                      {"passes", passes()},
                      {"calls", all},
                      {"calls_resumed", resumed_},
                      {"prompts", request_.prompts.size()},
                      {"tensors", state.tensors.size()},
                      {"seconds", seconds.count()}}};
}

}  // namespace

CalibrateResult calibrate(const CalibrateRequest& request) {
  check_request(request);
  return Calibration(request).run();
}

}  // namespace ditq
