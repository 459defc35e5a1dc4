#include "ptq/models.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace ditq {
namespace {

const std::vector<std::string> kQwenSkip = {
    "*.attn.add_q_proj",    "*.attn.add_k_proj", "*.attn.add_v_proj", "*.attn.to_add_out",
    "*.txt_mlp.net.0.proj", "*.txt_mlp.net.2",   "*.img_mod.1",       "*.txt_mod.1"};

const CalibrationArguments kFlux1 = {
    .height = 1024, .width = 1024, .guidance_scale = 3.5, .max_sequence_length = 512};

}  // namespace

const std::vector<QuantizeModel>& quantize_models() {
  static const std::vector<QuantizeModel> models = {
      {.name = "flux-dev",
       .hub_id = "black-forest-labs/FLUX.1-dev",
       .filter = NameFilter::flux,
       .fp4_with_attention = true,
       .arguments = kFlux1},
      {.name = "flux-schnell",
       .hub_id = "black-forest-labs/FLUX.1-schnell",
       .fp4_with_attention = true,
       .arguments = kFlux1},
      {.name = "flux2-dev",
       .hub_id = "black-forest-labs/FLUX.2-dev",
       .filter = NameFilter::flux,
       .fp4_with_attention = true,
       .arguments = {.height = 768, .width = 1024, .guidance_scale = 4.0}},
      {.name = "sdxl-1.0",
       .hub_id = "stabilityai/stable-diffusion-xl-base-1.0",
       .backbones = {"unet"}},
      {.name = "sdxl-turbo", .hub_id = "stabilityai/sdxl-turbo", .backbones = {"unet"}},
      {.name = "sd3-medium", .hub_id = "stabilityai/stable-diffusion-3-medium-diffusers"},
      {.name = "sd3.5-medium", .hub_id = "stabilityai/stable-diffusion-3.5-medium"},
      {.name = "ltx-video-dev",
       .hub_id = "Lightricks/LTX-Video-0.9.7-dev",
       .filter = NameFilter::ltx,
       .arguments = {.height = 512, .width = 704}},
      {.name = "ltx-2",
       .hub_id = "Lightricks/LTX-2",
       .filter = NameFilter::ltx,
       .arguments = {.height = 768, .width = 1280}},
      {.name = "wan2.2-t2v-14b",
       .hub_id = "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
       .filter = NameFilter::wan,
       .arguments = {.height = 720, .width = 1280, .guidance_scale = 4.0}},
      {.name = "wan2.2-t2v-5b",
       .hub_id = "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
       .filter = NameFilter::wan,
       .arguments = {.height = 512, .width = 768, .guidance_scale = 5.0}},
      {.name = "qwen-image",
       .hub_id = "Qwen/Qwen-Image",
       .filter = NameFilter::qwen,
       .block_range = true,
       .arguments = {.height = 1024, .width = 1024},
       .svdquant_skip = kQwenSkip},
  };
  return models;
}

const QuantizeModel& find_quantize_model(std::string_view name) {
  std::vector<std::string> names;
  for (const QuantizeModel& model : quantize_models()) {
    if (model.name == name) return model;
    names.push_back(model.name);
  }
  throw Error(
      ErrorCode::unsupported, "--model: unknown model",
      {.expected = fmt::format("{}", fmt::join(names, ", ")), .found = fmt::format("'{}'", name)});
}

}  // namespace ditq
