#pragma once
// A loaded pipeline: from a prompt to a picture. One file per family implements it; load_pipeline chooses.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/picture.h"
#include "nn/layer_listener.h"
#include "pipeline/attention_backend.h"
#include "pipeline/engine.h"
#include "pipeline/fp4_backend.h"
#include "tensor/tensor.h"
#include "tensor/weights.h"

namespace ditq {

/// Where the time of one generation went.
struct Timings {
  struct Stage {
    std::string name;  ///< as SGLang names its stages: "DenoisingStage", …
    double milliseconds = 0;
  };
  std::vector<Stage> stages;
  std::vector<double> denoise_steps;  ///< milliseconds of each step
  double total = 0;                   ///< milliseconds
};

/// The states of one denoising run; what --return-trajectory-latents writes.
struct Trajectory {
  Tensor initial_latents;  ///< [1, tokens, C] packed, run dtype
  Tensor latents;          ///< [1, N, tokens, C]: after every step
  Tensor noise;            ///< [1, N, tokens, C]: what the transformer predicted at every step
  std::vector<float> timesteps;  ///< N
  std::vector<float> sigmas;     ///< N + 1
};

/// One picture with everything that is known about how it came about.
struct Generation {
  std::string prompt;
  std::uint64_t seed = 0;
  Picture picture;
  std::int64_t non_finite_pixels =
      0;  ///< decoded values that were NaN or infinite before they became 8 bits
  Trajectory trajectory;
  Timings timings;
};

/// One picture to be made. All values are resolved: no family defaults are left open.
struct PictureRequest {
  std::string prompt;
  std::string negative_prompt;
  std::uint64_t seed = 42;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t steps = 0;
  double guidance_scale = 0;
  double true_cfg_scale = 1;
  std::int64_t max_sequence_length = 0;
  std::string latents;                   ///< FILE or FILE:NAME; empty: drawn from the seed
  std::string generator_device = "cpu";  ///< where noise is drawn: cpu, or cuda: the run's device
  bool keep_states = false;              ///< fill the trajectory's latents
  bool keep_noise = false;               ///< fill the trajectory's noise
  bool accept_non_finite =
      false;  ///< hand over a picture with NaN or infinite values instead of raising
};

/// Prompts whose latents go through the network together, for calibration.
struct BatchRequest {
  std::vector<std::string> prompts;
  /// Everything else: its prompts are ignored; latents of the file are [B, tokens, C]; noise of the seed is drawn for the
  /// whole batch, on the CPU.
  PictureRequest settings;
};

/// What was loaded, for the one-line summary and perf.json.
struct PipelineDescription {
  std::string family;         ///< "flux1"
  std::string variant;        ///< "dev", "schnell", …
  std::string model_class;    ///< of the transformer: "FluxTransformer2DModel"
  std::string scheme;         ///< "bf16", "fp8", "nvfp4"
  std::string scheme_source;  ///< where the scheme was declared
  std::string dtype;          ///< "bf16" or "fp32"
  std::string device;         ///< "cpu", "cuda:0 (…)"
  AttentionBackend attention;
  std::optional<Fp4Backend> fp4_backend;  ///< where there are NVFP4 layers or somebody chose one
  std::vector<LayerRecord> layers;        ///< of the transformer
  bool vae_tiling =
      false;  ///< whether the last run decoded in tiles: asked for, or for want of memory
};

class Pipeline {
 public:
  virtual ~Pipeline() = default;
  virtual const PipelineDescription& description() const = 0;
  /// Fills in the family's defaults and checks the values. Errors: usage.
  virtual PictureRequest resolve(const GenerateRequest& request) const = 0;
  /// `on_step` is called after every denoising step. Errors: not_a_number when a decoded value is NaN or infinite and the
  /// request does not accept that.
  virtual Generation generate(const PictureRequest& request,
                              const std::function<void()>& on_step) = 0;

  /// A calibration's settings with what ModelOpt calibrates the family with where it leaves them open; seed and latents
  /// are each call's own. Errors: usage.
  virtual PictureRequest resolve(const CalibrateRequest& request) const = 0;
  /// Encodes the prompts and denoises their latents while `listener` hears the transformer: every step is evaluated by
  /// itself, as diffusers does it, and no picture is decoded, since nothing is measured there.
  virtual void denoise_batch(const BatchRequest& request,
                             LayerListener& listener,
                             const std::function<void()>& on_step) = 0;
  /// The transformer's tensors in the run's dtype and on its device, in the diffusers dialect.
  virtual const Weights& transformer_weights() const = 0;
  /// What the transformer predicts at given states: step i of the request's schedule at states[:, i]. Encoded prompts
  /// are kept for the next call. Shapes: states [1, N, tokens, C]; returns the same on the CPU, in the run's dtype.
  virtual Tensor predict_noise(const PictureRequest& request,
                               const Tensor& states,
                               const std::function<void()>& on_step) = 0;
  /// The request's first denoise step, ready to be evaluated; its result is dropped.
  virtual std::function<void()> first_step(const PictureRequest& request) = 0;
  /// To be called after a layer switch has changed the transformer.
  virtual void layers_changed() = 0;
};

/// Loads all components. Errors: those of the readers and networks; unsupported for a pipeline of another family, or a
/// device that is not there.
std::unique_ptr<Pipeline> load_pipeline(const PipelineSources& sources, const RunOptions& options);

/// A pipeline whose transformer has two weights in its linear layers.
struct SwitchedPipeline {
  std::unique_ptr<Pipeline> pipeline;
  std::shared_ptr<LayerSwitch>
      layers;  ///< those that the second checkpoint has quantized; all begin unquantized
};

/// As load_pipeline; the second weights come from the transformer of `other`, which may be stored in any form that
/// load_pipeline reads.
SwitchedPipeline load_switched_pipeline(const PipelineSources& sources,
                                        const PipelineSources& other,
                                        const RunOptions& options);

}  // namespace ditq
