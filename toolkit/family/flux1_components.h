#pragma once
// What a FLUX.1 pipeline has beside its transformer, at the sizes of the published models: CLIP-L, T5-XXL, VAE,
// scheduler.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace ditq {

/// A tensor of a component, and the normal distribution that stands for its values: outputs of a layer are about as
/// large as its inputs.
struct ComponentTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  float mean = 0;
  float deviation = 0;
};

/// A component with weights: one folder of a pipeline.
struct ComponentModel {
  std::string folder;  ///< "text_encoder_2"
  std::string file;    ///< name of its weights without number and ending: "model"
  Json config;
  std::vector<ComponentTensor> tensors;
};

/// Everything of a pipeline but transformer and tokenizers.
struct PipelineComponents {
  Json model_index;
  Json scheduler;                       ///< scheduler/scheduler_config.json
  std::vector<ComponentModel> models;   ///< text encoders and VAE, encoder half included
  std::vector<std::string> tokenizers;  ///< folders that the tokenizers' files stand in
};

/// `variant`: a name that published_flux1_dims knows; "tiny" has small networks with the full vocabularies, so that any
/// CLIP and T5 tokenizer fits. Sources: the published pipelines' configs; tensor names from transformers 5.17
/// (CLIPTextModel, T5EncoderModel) and diffusers 0.39 (AutoencoderKL).
PipelineComponents flux1_components(const std::string& variant);

}  // namespace ditq
