#include "ptq/quantize.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "convert/atomic_output.h"
#include "convert/paths.h"
#include "convert/write_output.h"
#include "ptq/copied_component.h"
#include "ptq/export_documents.h"
#include "ptq/model_source.h"
#include "ptq/torch_checkpoint.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// One backbone with everything that is known about it.
struct Backbone {
  ComponentSource source;
  QuantNetwork network;
  CalibrationState state;
  QuantizeRecipe recipe;
  std::vector<QuantizerRule> rules;
  QuantizerSet quantizers;
  LoadedDtype dtype;

  ExportInputs inputs(Arithmetic arithmetic, const BeyondModelopt& beyond = {}) const {
    return {.source = source,
            .network = network,
            .quantizers = quantizers,
            .state = state,
            .dtype = dtype,
            .arithmetic = arithmetic,
            .beyond = beyond};
  }
};

class Exporter {
 public:
  explicit Exporter(const QuantizeRequest& request)
      : request_(request), model_(find_quantize_model(request.model)) {}

  void check() {
    check_flags();
    pipeline_ = open_pipeline(request_.folder, request_.shown);
    if (pipeline_.is_component && backbones().size() > 1) {
      throw Error(ErrorCode::usage, "--backbone: a single component has no others",
                  {.path = request_.folder});
    }
    std::set<std::string> once;
    for (const std::string& component : backbones()) {
      open_quantizable(pipeline_, component);
      if (once.insert(component).second) continue;
      throw Error(ErrorCode::usage, "--backbone names a component twice", {.found = component});
    }
    check_outputs();
  }

  Json run() {
    check();
    for (const std::string& component : backbones()) {
      opened_.push_back(std::make_unique<Backbone>(open(component)));
      BeyondModelopt beyond = request_.beyond;
      beyond.clip = {};  // reads all weights, which is for the export
      plan_component(opened_.back()->inputs(request_.arithmetic, beyond));  // checks all of it
    }
    Json report = {{"model", request_.model}, {"components", Json::object()}};
    std::optional<OutputPlan> plan;
    if (!request_.hf_folder.empty()) plan = plan_output(report["components"]);
    for (const auto& backbone : opened_) write_checkpoint(*backbone, report);
    if (plan) write_export(*plan, report);
    return report;
  }

 private:
  const std::vector<std::string>& backbones() const { return backbones_of(request_); }

  void check_flags() const {
    if (!request_.format.empty()) parse_format(request_.format);
    if (!request_.algorithm.empty()) parse_algorithm(request_.algorithm);
    parse_model_dtype(request_.model_dtype, "--model-dtype");
    for (const auto& [component, dtype] : request_.component_dtypes) {
      parse_model_dtype(dtype, "--component-dtype " + component);
    }
    if (request_.lowrank < 1 || request_.block_size < 16 || request_.block_size % 16 != 0) {
      throw Error(ErrorCode::usage, "--lowrank must be positive, --block-size a multiple of 16",
                  {.found = fmt::format("{} and {}", request_.lowrank, request_.block_size)});
    }
    if (request_.beyond.weights_only && (request_.quantize_mha || !request_.torch_folder.empty())) {
      throw Error(ErrorCode::usage,
                  "--weights-only has no statistics for --quantize-mha and torch checkpoints",
                  {.advice = "Calibrate, or leave these flags out"});
    }
    if (!request_.format.empty()) {
      check_beyond(request_.beyond, parse_format(request_.format),
                   request_.algorithm.empty() ? CalibrationAlgorithm::max
                                              : parse_algorithm(request_.algorithm));
    }
    if (request_.hf_folder.empty() && request_.torch_folder.empty()) {
      throw Error(ErrorCode::usage, "there is nothing to write",
                  {.advice = "Name --hf-ckpt-dir, --quantized-torch-ckpt-save-path, or both"});
    }
    if (!request_.torch_name.empty() && backbones().size() > 1) {
      throw Error(ErrorCode::usage, "--torch-ckpt-name names one file, and there are several");
    }
  }

  std::string torch_path(const std::string& component) const {
    const std::string stem = request_.torch_name.empty() ? component : request_.torch_name;
    return (fs::path(resolve_output_dir(request_.torch_folder)) / (stem + ".pt")).string();
  }

  void check_outputs() const {
    if (!request_.hf_folder.empty()) {
      const std::string target = resolve_output_dir(request_.hf_folder);
      std::vector<std::string> inputs = {request_.folder};
      for (const auto& [component, state] : request_.states) inputs.push_back(state);
      check_overlap(target, inputs);
      check_target(target, request_.overwrite);
    }
    if (request_.torch_folder.empty()) return;
    for (const std::string& component : backbones()) {
      const std::string path = torch_path(component);
      std::error_code ignored;
      if (request_.overwrite || !fs::exists(path, ignored)) continue;
      throw Error(ErrorCode::output_exists, "the torch checkpoint exists already",
                  {.path = path, .advice = "Use --overwrite to replace it"});
    }
  }

  /// What the statistics are, and what is asked for, must fit each other.
  QuantizeRecipe recipe_of(const CalibrationState& state) const {
    QuantizeRecipe recipe{.block_size = request_.block_size, .quantize_mha = request_.quantize_mha};
    recipe.algorithm =
        state.has_factors() ? CalibrationAlgorithm::svdquant : CalibrationAlgorithm::max;
    recipe.lowrank = state.has_factors() ? state.rank() : request_.lowrank;
    if (!request_.algorithm.empty() && parse_algorithm(request_.algorithm) != recipe.algorithm) {
      throw Error(ErrorCode::usage, "--quant-algo is not what the calibration was made with",
                  {.path = state.path(),
                   .expected = request_.algorithm,
                   .found = state.has_factors() ? "svdquant" : "max"});
    }
    recipe.format = format_of(state);
    recipe.quantize_mha = recipe.quantize_mha || records_attention(state);
    return recipe;
  }

  /// Whether a checkpoint was made with --quantize-mha.
  static bool records_attention(const CalibrationState& state) {
    if (!state.recorded()) return false;
    return std::any_of(state.recorded()->begin(), state.recorded()->end(), [](const auto& entry) {
      return entry.second.enabled && entry.first.ends_with(".k_bmm_quantizer");
    });
  }

  Element format_of(const CalibrationState& state) const {
    std::optional<Element> recorded;
    if (state.recorded()) {
      for (const auto& [name, quantizer] : *state.recorded()) {
        if (quantizer.enabled && name.ends_with(".weight_quantizer")) {
          recorded = quantizer.config.element;
        }
      }
    }
    if (request_.format.empty() && request_.beyond.weights_only) return Element::fp8;
    if (request_.format.empty() && !recorded) {
      throw Error(ErrorCode::usage, "--format is required: statistics alone do not tell",
                  {.path = state.path(), .expected = "fp8 or fp4"});
    }
    if (request_.format.empty()) return *recorded;
    const Element wanted = parse_format(request_.format);
    if (recorded && *recorded != wanted) {
      throw Error(ErrorCode::usage, "--format is not the checkpoint's: its flags decide",
                  {.path = state.path(),
                   .expected = *recorded == Element::fp8 ? "fp8" : "fp4",
                   .found = request_.format});
    }
    return wanted;
  }

  Dtype dtype_of(const std::string& component) const {
    const auto own = request_.component_dtypes.find(component);
    return own == request_.component_dtypes.end()
               ? parse_model_dtype(request_.model_dtype, "--model-dtype")
               : parse_model_dtype(own->second, "--component-dtype");
  }

  Backbone open(const std::string& component) const {
    ComponentSource source = open_quantizable(pipeline_, component);
    QuantNetwork network = describe_network(source.tensors, source.config, source.family);
    CalibrationState state = request_.beyond.weights_only
                                 ? CalibrationState::none(source.folder)
                                 : CalibrationState::open(request_.states.at(component));
    const QuantizeRecipe recipe = recipe_of(state);
    check_beyond(request_.beyond, recipe.format, recipe.algorithm);
    std::vector<QuantizerRule> rules = preset_rules(model_, recipe, network.blocks);
    QuantizerSet quantizers(network, rules, QuantizerFilter(model_.filter, component),
                            recipe.quantize_mha);
    if (state.recorded()) quantizers.take_recorded(*state.recorded(), state.path());
    LoadedDtype dtype(dtype_of(component), source.class_name, source.family);
    Backbone backbone{.source = std::move(source),
                      .network = std::move(network),
                      .state = std::move(state),
                      .recipe = recipe,
                      .rules = std::move(rules),
                      .quantizers = std::move(quantizers),
                      .dtype = std::move(dtype)};
    return backbone;
  }

  /// Joint branches of layers that share an input go over those of the calibration, in the export alone.
  void unify(Backbone& backbone) {
    if (backbone.recipe.algorithm != CalibrationAlgorithm::svdquant) return;
    auto groups =
        shared_scale_groups(backbone.network, backbone.quantizers, backbone.source.family);
    std::erase_if(groups, [&](const auto& group) {
      return std::none_of(group.begin(), group.end(), [&](const std::string& member) {
        return backbone.state.find(member + ".weight_quantizer._svdquant_lora_a") != nullptr;
      });
    });
    if (groups.empty()) return;
    DITQ_ASSERT(request_.unify != nullptr);
    backbone.state.override_with(
        CalibrationState::open(request_.unify({.base_folder = backbone.source.folder,
                                               .state = request_.states.at(backbone.source.name),
                                               .groups = std::move(groups),
                                               .rank = backbone.recipe.lowrank})));
  }

  OutputPlan plan_output(Json& report) {
    OutputPlan plan;
    for (const std::string& component : pipeline_.components) {
      const auto& quantized = backbones();
      if (std::find(quantized.begin(), quantized.end(), component) != quantized.end()) continue;
      plan_copied(pipeline_, component, dtype_of(component), plan, held_);
    }
    for (const auto& backbone : opened_) {
      exported_.push_back(std::make_unique<Backbone>(open(backbone->source.name)));
      plan_backbone(*exported_.back(), plan, report);
    }
    if (!pipeline_.is_component) {
      plan.documents.push_back({"model_index.json", dump_json(pipeline_.index, {.indent = 4})});
    }
    return plan;
  }

  void plan_backbone(Backbone& backbone, OutputPlan& plan, Json& report) {
    unify(backbone);
    ComponentPlan component = plan_component(backbone.inputs(request_.arithmetic, request_.beyond));
    const std::int64_t rank =
        backbone.recipe.algorithm == CalibrationAlgorithm::svdquant ? backbone.recipe.lowrank : 0;
    Json quantization = quantization_config(component, backbone.quantizers, rank);
    amend_config(request_.beyond, quantization);
    const std::string folder = pipeline_.is_component ? "" : backbone.source.name + "/";
    report[backbone.source.name] = {{"quant_algo", quantization["quant_algo"]},
                                    {"quantized_layers", component.quantized.size()},
                                    {"unquantized_layers", component.unquantized.size()},
                                    {"unpacked_convolutions", component.unpacked.size()}};
    std::vector<PlannedShard> shards;
    if (backbone.source.merged != nullptr) {
      shards.push_back(
          merged_shard(backbone.source, std::move(component.tensors), folder, quantization));
    } else {
      shards = cut_shards(std::move(component.tensors), folder, kShardLimit);
    }
    if (auto index = index_document(shards, folder)) plan.documents.push_back(std::move(*index));
    plan.documents.push_back({folder + "config.json", config_text(backbone.source, quantization)});
    for (PlannedShard& shard : shards) plan.shards.push_back(std::move(shard));
  }

  void write_export(const OutputPlan& plan, Json& report) const {
    const std::string target = resolve_output_dir(request_.hf_folder);
    const OutputReport done = write_output(
        plan, {.target = target, .overwrite = request_.overwrite, .limits = request_.limits});
    report["hf_ckpt_dir"] = request_.hf_folder;
    log_info(fmt::format("wrote {}: {}", request_.hf_folder, done.text()));
  }

  void write_checkpoint(const Backbone& backbone, Json& report) const {
    if (request_.torch_folder.empty()) return;
    const std::string path = torch_path(backbone.source.name);
    std::error_code status;
    fs::create_directories(fs::path(path).parent_path(), status);
    if (status) {
      throw Error(ErrorCode::storage, fmt::format("cannot create the folder: {}", status.message()),
                  {.path = fs::path(path).parent_path().string()});
    }
    const ExportInputs inputs = backbone.inputs(request_.arithmetic);
    write_torch_checkpoint(path, {.component = inputs,
                                  .rules = backbone.rules,
                                  .algorithm = backbone.recipe.algorithm,
                                  .lowrank = backbone.recipe.lowrank,
                                  .svdquant_skip = model_.svdquant_skip});
    report["components"][backbone.source.name]["torch_checkpoint"] = path;
    log_info("wrote " + path);
  }

  const QuantizeRequest& request_;
  const QuantizeModel& model_;
  PipelineSource pipeline_;
  std::vector<std::unique_ptr<Backbone>> opened_;    // as calibrated
  std::vector<std::unique_ptr<Backbone>> exported_;  // with joint branches
  std::vector<std::shared_ptr<const Checkpoint>> held_;
};

}  // namespace

const std::vector<std::string>& backbones_of(const QuantizeRequest& request) {
  const QuantizeModel& model = find_quantize_model(request.model);
  return request.backbones.empty() ? model.backbones : request.backbones;
}

void check_quantize(const QuantizeRequest& request) {
  Exporter(request).check();
}

Json quantize(const QuantizeRequest& request) {
  return Exporter(request).run();
}

Arithmetic parse_arithmetic(const std::string& spelling) {
  if (spelling == "cuda") return Arithmetic::cuda;
  if (spelling == "cpu") return Arithmetic::cpu;
  throw Error(ErrorCode::usage, "--arithmetic: unknown device",
              {.expected = "cuda or cpu", .found = "'" + spelling + "'"});
}

}  // namespace ditq
