#include "ptq/torch_checkpoint.h"

#include <algorithm>
#include <set>

#include "base/interrupt.h"
#include "format/torch_writer.h"
#include "ptq/definition_order.h"
#include "ptq/export_documents.h"
#include "ptq/recipes.h"
#include "quant/cast.h"

namespace ditq {
namespace {

using Dict = PickleItem::Dict;
using List = PickleItem::List;
using Tuple = PickleItem::Tuple;

constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;  ///< bytes of a tensor read at a time

PickleItem num_bits(Element element) {
  if (element == Element::fp8) return Tuple{{4, 3}};
  if (element == Element::nvfp4) return Tuple{{2, 1}};
  return 8;
}

PickleItem block_sizes(const QuantizerConfig& config) {
  if (config.element != Element::nvfp4) return {};
  return Dict{{{-1, config.block}, {"type", "dynamic"}, {"scale_bits", Tuple{{4, 3}}}}};
}

PickleItem effective_bits(const QuantizerConfig& config) {
  if (config.element != Element::nvfp4) return {};
  return 4.0 + 8.0 / static_cast<double>(config.block);
}

/// The attributes that a rule gives to the quantizers that it matches.
PickleItem rule_config(const QuantizerConfig& config) {
  return Dict{{{"num_bits", num_bits(config.element)},
               {"axis", {}},
               {"fake_quant", true},
               {"unsigned", false},
               {"narrow_range", false},
               {"learn_amax", false},
               {"type", "static"},
               {"block_sizes", block_sizes(config)},
               {"bias", {}},
               {"trt_high_precision_dtype", "Half"},
               {"calibrator", "max"},
               {"rotate", false},
               {"pass_through_bwd", true},
               {"backend", {}},
               {"backend_extra_args", {}},
               {"use_constant_amax", false},
               {"constant_amax", {}},
               {"effective_bits", effective_bits(config)},
               {"enable", true}}};
}

PickleItem rule_list(const std::vector<QuantizerRule>& rules) {
  List list;
  for (const QuantizerRule& rule : rules) {
    list.items.push_back(
        Dict{{{"quantizer_name", rule.pattern},
              {"parent_class", rule.layer_norms_only ? PickleItem("nn.LayerNorm") : PickleItem()},
              {"cfg", rule.config ? rule_config(*rule.config) : PickleItem()},
              {"enable", rule.enable}}});
  }
  return list;
}

PickleItem layerwise() {
  return Dict{{{"enable", false},
               {"get_qdq_activations_from_prev_layer", false},
               {"checkpoint_dir", {}},
               {"save_every", 1},
               {"calib_mutates_weights", true}}};
}

class CheckpointWriter {
 public:
  explicit CheckpointWriter(const TorchCheckpointInputs& inputs)
      : in_(inputs), state_(inputs.component.state) {
    collect();
  }

  void write(const std::string& path) {
    const PickleItem root =
        Dict{{{"modelopt_state", modelopt_state()}, {"model_state_dict", model_state_dict()}}};
    write_torch_file(path, root, written_,
                     [this](std::size_t index, const ByteSink& sink) { fill(index, sink); });
  }

 private:
  /// Weights in the order of the network, and the tensors of those quantizers that the recipe calibrates.
  void collect() {
    const ExportInputs& component = in_.component;
    names_ = component.network.tensors;
    for (const auto& [name, tensor] : state_.tensors()) {
      if (is_kept(name)) names_.push_back(name);
    }
    const FamilySpec* family = component.source.family;
    DefinitionOrder(family == nullptr ? std::vector<std::string>{} : family->quant.definition_order)
        .sort(names_);
    for (const std::string& name : names_) {
      const TensorInfo* base = component.source.find(name);
      const TensorInfo* calibrated = state_.find(name);
      const TensorInfo* stored = calibrated != nullptr ? calibrated : base;
      const Dtype dtype = base == nullptr ? stored->dtype : component.dtype.of(name, base->dtype);
      stored_.push_back(stored);
      written_.push_back({.dtype = dtype, .shape = stored->shape});
    }
  }

  /// A state file measures more than one recipe needs.
  bool is_kept(const std::string& name) const {
    const std::size_t at = name.find("_quantizer.");
    if (at == std::string::npos) return false;
    if (state_.recorded()) return true;
    const std::size_t dot = name.rfind('.', at);
    const Quantizer* quantizer = in_.component.quantizers.find(
        name.substr(0, dot), name.substr(dot + 1, name.rfind('.') - dot - 1));
    return quantizer != nullptr && quantizer->calibrated;
  }

  PickleItem modelopt_state() const {
    const bool svdquant = in_.algorithm == CalibrationAlgorithm::svdquant;
    const PickleItem quantize =
        Dict{{{"config", quantize_config()}, {"metadata", metadata(/*calibrated=*/false)}}};
    const PickleItem calibrate = Dict{{{"config", svdquant ? svdquant_config() : max_config()},
                                       {"metadata", metadata(/*calibrated=*/true)}}};
    const char* mode = svdquant ? "svdquant_calibrate" : "max_calibrate";
    return Dict{
        {{"modelopt_state_dict", List{{Tuple{{"quantize", quantize}}, Tuple{{mode, calibrate}}}}},
         {"modelopt_version", kModeloptVersion}}};
  }

  PickleItem quantize_config() const {
    Dict algorithm = {{{"method", "max"}}};
    if (in_.algorithm == CalibrationAlgorithm::svdquant) {
      algorithm = {{{"method", "svdquant"}, {"lowrank", in_.lowrank}}};
    }
    return Dict{{{"quant_cfg", rule_list(in_.rules)},
                 {"algorithm", std::move(algorithm)},
                 {"effective_bits", {}}}};
  }

  static PickleItem max_config() {
    return Dict{{{"method", "max"},
                 {"moe_calib_experts_ratio", {}},
                 {"layerwise", layerwise()},
                 {"distributed_sync", true},
                 {"sync_expert_weight_amax", false},
                 {"shared_states", {}},
                 {"skip_forward_without_activation_calib", false}}};
  }

  PickleItem svdquant_config() const {
    PickleItem skipped;
    if (!in_.svdquant_skip.empty()) {
      List list;
      for (const std::string& pattern : in_.svdquant_skip) list.items.emplace_back(pattern);
      skipped = std::move(list);
    }
    return Dict{{{"method", "svdquant"},
                 {"moe_calib_experts_ratio", {}},
                 {"layerwise", layerwise()},
                 {"lowrank", in_.lowrank},
                 {"skip_layers", std::move(skipped)}}};
  }

  PickleItem metadata(bool calibrated) const {
    Dict states;
    for (const Quantizer& quantizer : in_.component.quantizers.all()) {
      states.items.emplace_back(quantizer.name, quantizer_state(quantizer, calibrated));
    }
    return Dict{{{"quantizer_state", std::move(states)}}};
  }

  /// Before calibration the state right after insertion, behind it the one in the end.
  PickleItem quantizer_state(const Quantizer& quantizer, bool calibrated) const {
    const bool enabled = calibrated ? quantizer.enabled : quantizer.calibrated;
    Dict buffers;
    if (calibrated) {
      for (const char* buffer :
           {"_amax", "_pre_quant_scale", "_svdquant_lora_a", "_svdquant_lora_b"}) {
        const std::string name = quantizer.name + "." + buffer;
        const TensorInfo* tensor = is_kept(name) ? state_.find(name) : nullptr;
        if (tensor == nullptr) continue;
        buffers.items.emplace_back(buffer, Dict{{{"shape", torch_size(tensor->shape)},
                                                 {"dtype", torch_dtype(tensor->dtype)}}});
      }
    }
    return Dict{
        {{"_if_quant", true},
         {"_if_calib", false},
         {"_enable_pre_quant_scale", true},
         {"_num_bits", num_bits(quantizer.config.element)},
         {"_disabled", !enabled},
         {"_axis", {}},
         {"_fake_quant", true},
         {"_unsigned", false},
         {"_narrow_range", false},
         {"_learn_amax", false},
         {"_dynamic", false},
         {"_block_sizes", block_sizes(quantizer.config)},
         {"_bias", {}},
         {"_trt_high_precision_dtype", quantizer.configured ? "Half" : "Float"},
         {"_rotate", false},
         {"_pass_through_bwd", true},
         {"backend", {}},
         {"backend_extra_args", Dict{}},
         {"_use_constant_amax", false},
         {"_constant_amax", {}},
         {"_effective_bits", effective_bits(quantizer.config)},
         {"_dequantize", false},
         {"_input_dtype", {}},
         {"_pytorch_state_metadata", Dict{{{"params", Dict{}}, {"buffers", std::move(buffers)}}}}}};
  }

  /// The dtype of what a quantizer let through while it was off: one that measures does not keep it. SVDQuant switches
  /// those of its layers off and on.
  PickleItem input_dtype(const Quantizer& quantizer) const {
    const bool passed =
        !quantizer.calibrated ||
        state_.find(quantizer.layer + ".weight_quantizer._svdquant_lora_a") != nullptr;
    if (!passed) return {};
    const ExportInputs& component = in_.component;
    const std::string weight = quantizer.layer + ".weight";
    const TensorInfo* stored = component.source.find(weight);
    return torch_dtype(component.dtype.of(weight, stored == nullptr ? Dtype::bf16 : stored->dtype));
  }

  /// The state dict, and in its _metadata the version of every module that it names.
  PickleItem model_state_dict() const {
    PickleItem::Call tensors{{"collections", "OrderedDict"}, {}, {}, {}};
    std::set<std::string> modules = {""};
    for (std::size_t i = 0; i < names_.size(); ++i) {
      tensors.items.emplace_back(names_[i], torch_tensor(i, written_[i]));
      for (std::size_t dot = names_[i].find('.'); dot != std::string::npos;
           dot = names_[i].find('.', dot + 1)) {
        modules.insert(names_[i].substr(0, dot));
      }
    }
    PickleItem::Call versions{{"collections", "OrderedDict"}, {}, {}, {}};
    for (const std::string& module : modules) {
      versions.items.emplace_back(module, Dict{{{"version", 1}}});
    }
    tensors.state.emplace_back(Dict{{{"_metadata", std::move(versions)}}});
    return tensors;
  }

  void fill(std::size_t index, const ByteSink& sink) const {
    check_interrupt();
    const TensorInfo& stored = *stored_[index];
    const Dtype dtype = written_[index].dtype;
    if (state_.is_transposed(stored)) return fill_transposed(stored, dtype, sink);
    const std::uint64_t from = bits(stored.dtype) / 8;
    const std::uint64_t to = bits(dtype) / 8;
    std::vector<std::byte> in(static_cast<std::size_t>(std::min(kPiece, stored.size)));
    std::vector<std::byte> out;
    for (std::uint64_t at = 0; at < stored.size; at += in.size()) {
      in.resize(static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), stored.size - at)));
      stored.file->read(stored.offset + at, in);
      if (dtype == stored.dtype) {
        sink(in);
        continue;
      }
      out.resize(in.size() / from * to);
      cast_elements(stored.dtype, in, dtype, out);
      sink(out);
    }
    stored.file->check_unchanged();
  }

  /// Small: low-rank factors.
  static void fill_transposed(const TensorInfo& stored, Dtype dtype, const ByteSink& sink) {
    std::vector<std::byte> in(static_cast<std::size_t>(stored.size));
    std::vector<std::byte> out(in.size() / (bits(stored.dtype) / 8) * (bits(dtype) / 8));
    stored.file->read(stored.offset, in);
    transpose_recipe(stored.shape, stored.dtype, dtype)->make(stored, in, out);
    sink(out);
    stored.file->check_unchanged();
  }

  const TorchCheckpointInputs& in_;
  const CalibrationState& state_;
  std::vector<std::string> names_;
  std::vector<const TensorInfo*> stored_;    // by name
  std::vector<TorchTensorToWrite> written_;  // by name
};

}  // namespace

void write_torch_checkpoint(const std::string& path, const TorchCheckpointInputs& inputs) {
  CheckpointWriter(inputs).write(path);
}

}  // namespace ditq
