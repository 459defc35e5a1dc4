#include "convert/synth.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/progress.h"
#include "convert/atomic_output.h"
#include "convert/paths.h"
#include "convert/side_files.h"
#include "convert/synth_transformer.h"
#include "family/flux1_components.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

/// One component to be written: a folder's weights and config.
struct MadeComponent {
  std::string folder;  ///< below the output; empty: the output itself
  std::string file;    ///< name of its weights without number and ending
  Json config;
  std::vector<MadeTensor> tensors;
};

/// Everything that a request asks for.
struct Plan {
  std::vector<MadeComponent> components;
  std::map<std::string, Json> documents;  ///< by path below the output
  std::vector<SideFile> copies;           ///< tokenizers
  SynthStatistics statistics;
};

void check_request(const SynthRequest& request) {
  const auto one_of = [](const char* flag, const std::string& value,
                         const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), value) != known.end()) return;
    throw Error(ErrorCode::usage, fmt::format("unknown {}", flag),
                {.expected = fmt::format("{}", fmt::join(known, ", ")), .found = value});
  };
  one_of("--family and --variant", request.family + "/" + request.variant, synth_variants());
  one_of("--scheme", request.scheme, {"bf16", "fp8", "nvfp4"});
  one_of("--fallback-set", request.fallback_set, {"none", "documented"});
  if (request.all_components && request.tokenizers_from.empty()) {
    throw Error(ErrorCode::usage, "--all-components needs the files of tokenizers",
                {.expected = "--tokenizers-from DIR, a pipeline's folder",
                 .advice = "ditq's source holds small ones that fit: --tokenizers-from "
                           "models/tiny-flux"});
  }
  if (!request.all_components && !request.tokenizers_from.empty()) {
    throw Error(ErrorCode::usage, "--tokenizers-from has no effect without --all-components");
  }
}

MadeComponent made_component(const ComponentModel& model, std::uint64_t seed) {
  MadeComponent out{
      .folder = model.folder, .file = model.file, .config = model.config, .tensors = {}};
  for (const ComponentTensor& tensor : model.tensors) {
    // The folder's name keeps equal names of two components apart.
    MadeTensor made = bf16_tensor(seed, model.folder + "/" + tensor.name, tensor.shape, tensor.mean,
                                  tensor.deviation);
    made.target.name = tensor.name;
    out.tensors.push_back(std::move(made));
  }
  return out;
}

/// The files of the tokenizers' folders below `from`. Errors: file_not_found.
std::vector<SideFile> tokenizer_files(const std::string& from,
                                      const std::vector<std::string>& folders) {
  std::vector<SideFile> out;
  for (const std::string& name : folders) {
    const fs::path folder = fs::path(from) / name;
    if (!fs::is_directory(folder)) {
      throw Error(ErrorCode::file_not_found, "--tokenizers-from holds no such tokenizer",
                  {.path = folder.string(), .expected = "a folder with a tokenizer's files"});
    }
    out.push_back({.from = folder.string(), .to = name, .is_folder = true});
    for (SideFile& file : list_side_files(folder.string(), {})) {
      file.to = (fs::path(name) / file.to).string();
      out.push_back(std::move(file));
    }
  }
  return out;
}

void add_other_components(const SynthRequest& request, Plan& plan) {
  const PipelineComponents all = flux1_components(request.variant);
  for (const ComponentModel& model : all.models) {
    plan.components.push_back(made_component(model, request.seed));
    for (const MadeTensor& tensor : plan.components.back().tensors) {
      plan.statistics.parameters += tensor.elements;
    }
  }
  plan.documents = {{"model_index.json", all.model_index},
                    {"scheduler/scheduler_config.json", all.scheduler}};
  plan.copies = tokenizer_files(request.tokenizers_from, all.tokenizers);
}

Plan make_plan(const SynthRequest& request) {
  MadeTransformer transformer = make_transformer(request);
  Plan plan;
  plan.statistics.parameters = transformer.parameters;
  plan.statistics.quantized_layers = transformer.quantized_layers;
  plan.components.push_back({.folder = request.all_components ? "transformer" : "",
                             .file = "diffusion_pytorch_model",
                             .config = std::move(transformer.config),
                             .tensors = std::move(transformer.tensors)});
  if (request.all_components) add_other_components(request, plan);
  for (const MadeComponent& component : plan.components) {
    plan.statistics.bytes += byte_count(component.tensors);
    plan.statistics.tensors += component.tensors.size();
  }
  return plan;
}

void write_json(const fs::path& path, const Json& document) {
  fs::create_directories(path.parent_path());
  write_document(path.parent_path().string(), path.filename().string(),
                 dump_json(document, {.indent = 2, .sort_keys = true}) + "\n");
}

}  // namespace

std::vector<std::string> synth_variants() {
  return {"flux1/dev", "flux1/schnell", "flux1/tiny"};
}

SynthStatistics synth(const SynthRequest& request) {
  check_request(request);
  const std::string target = resolve_output_dir(request.output_dir);
  check_target(target, request.overwrite);
  Plan plan = make_plan(request);
  check_free_space(target, plan.statistics.bytes + total_size(plan.copies));

  AtomicOutput output(target, request.overwrite);
  ProgressBar progress("making", plan.statistics.bytes, "B");
  for (const MadeComponent& component : plan.components) {
    const fs::path folder = fs::path(output.folder()) / component.folder;
    write_json(folder / "config.json", component.config);
    plan.statistics.shards +=
        write_made_tensors(component.tensors, folder.string(), component.file, progress);
  }
  progress.finish();
  for (const auto& [path, document] : plan.documents) {
    write_json(fs::path(output.folder()) / path, document);
  }
  copy_side_files(plan.copies, output.folder());
  check_interrupt();
  output.commit();
  return plan.statistics;
}

std::string to_json_text(const SynthStatistics& statistics) {
  const Json json = {{"bytes", statistics.bytes},
                     {"parameters", statistics.parameters},
                     {"quantized_layers", statistics.quantized_layers},
                     {"shards", statistics.shards},
                     {"tensors", statistics.tensors}};
  return dump_json(json, {.indent = 2, .sort_keys = true});
}

}  // namespace ditq
