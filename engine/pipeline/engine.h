#pragma once
// What the engine offers to the program, without a torch type: the program opens libditq_engine.so only when a
// subcommand needs it, so that the toolkit's subcommands start in milliseconds and run where there is no libtorch.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "media/picture.h"

namespace ditq {

/// Which files make the pipeline; paths are expanded by the command line.
struct PipelineSources {
  std::string model_path;  ///< diffusers folder
  std::string model_id;    ///< as --model-id gave it, for reports; the files tell the model
  std::map<std::string, std::string> components;  ///< component name to folder: --<component>-path
  std::string transformer_weights_path;  ///< file or folder: weights only, config stays the base's
};

/// How networks run.
struct RunOptions {
  std::string device;                   ///< cpu, cuda, cuda:N; empty: cuda where there is one
  std::string dtype = "bf16";           ///< bf16 or fp32
  std::string clip_tokenizer = "fast";  ///< fast or slow
  /// fp4: what an FP4 unit computes, also where there is none; bf16: activations of NVFP4 layers stay as they are.
  std::string nvfp4_activations = "fp4";
  std::string
      fp4_gemm_backend;  ///< SGLang's name of a kernel; empty: the environment's choice, or the default
  bool fp4_backend_environment = true;    ///< SGLANG_DIFFUSION_FLASHINFER_FP4_GEMM_BACKEND counts
  std::string fp8_accumulation = "fast";  ///< on a GPU: fast or precise
  std::string kernel_table;               ///< file of choices among a GPU's kernels; empty: none
  std::string attention_backend;          ///< auto (or empty), fp8, or a backend's name
  std::string fp8_attention_steps = "1:-1";  ///< the steps in which fp8 counts, as a slice of all
  /// Whether the VAE decodes in tiles; nothing: on a GPU that has too little memory for whole pictures.
  std::optional<bool> vae_tiling;
  bool dit_cpu_offload =
      false;  ///< asked for: forced off with a warning for FP8, unsupported otherwise
};

/// One or several pictures from one or several prompts.
struct GenerateRequest {
  PipelineSources sources;
  RunOptions run;
  std::vector<std::string> prompts;
  std::string negative_prompt;
  std::uint64_t seed = 42;
  std::optional<std::int64_t> height;  ///< default: the family's
  std::optional<std::int64_t> width;
  std::optional<std::int64_t> num_inference_steps;
  std::optional<double> guidance_scale;
  std::optional<double> true_cfg_scale;  ///< with a negative prompt
  std::int64_t num_outputs_per_prompt = 1;
  std::optional<std::int64_t> max_sequence_length;
  std::string generator_device = "cpu";
  std::string latents;  ///< FILE or FILE:NAME; empty: drawn from the seed
  bool return_trajectory_latents = false;
  bool save_output = true;
  bool tune_kernels = false;     ///< search the kernels first and write them into run.kernel_table
  std::string output_path;       ///< folder
  std::string output_file_name;  ///< without it: made from prompt and seed
  std::string perf_dump_path;
  std::vector<std::string> command;  ///< argv, for perf.json
};

/// Files that a generation wrote, in the order of prompts and outputs.
struct GenerateResult {
  std::vector<std::string> pictures;
  std::vector<std::string> trajectories;
  std::string perf_dump;
  Json summary;  ///< what stdout prints
};

/// Two generations of one request that differ in checkpoints only, or two results read from files.
struct CompareRequest {
  GenerateRequest generate;  ///< shared by both sides
  PipelineSources reference;
  PipelineSources candidate;
  std::string
      reference_fp4_gemm_backend;  ///< as RunOptions::fp4_gemm_backend, for one side; empty: the shared one
  std::string candidate_fp4_gemm_backend;
  std::string reference_attention_backend;  ///< likewise
  std::string candidate_attention_backend;
  std::string reference_file;  ///< --reference: a trajectory or a picture; no model is loaded
  std::string candidate_file;
  /// Checkpoints: every prompt runs with each of them; empty: prompt i runs with seed + i.
  std::vector<std::uint64_t> seeds;
  std::string
      clip_image_encoder;  ///< folder of a CLIP model that compares the pictures; empty: none
  std::int64_t warmup_runs = 0;
  std::int64_t measure_runs = 1;
  std::int64_t trajectory_step_index = -1;
  std::string save_output_dir;
  std::string output_json;
  std::string require;  ///< "cosine>=0.99,psnr>=28"
  Json server_kwargs;   ///< what the report repeats for each side
};

/// What both sides show of one run, for people to look at.
struct ComparedPicture {
  std::size_t run = 0;
  std::string prompt;  ///< empty where files do not tell
  std::uint64_t seed = 0;
  std::string frame;  ///< of videos "first", "middle" or "last"; empty for pictures
  Picture reference;
  Picture candidate;
};

struct CompareResult {
  Json report;                      ///< SGLang's long report with ditq's parts (docs/compare.md)
  Json brief;                       ///< SGLang's short object, for stdout
  std::vector<std::string> missed;  ///< requirements that do not hold, each a sentence
  std::vector<std::string>
      findings;  ///< defects that the candidate has and the reference has not, each a sentence
  std::vector<ComparedPicture> pictures;
};

/// Two sides that differ in checkpoints only, timed in turn.
struct BenchRequest {
  GenerateRequest generate;  ///< shared by both sides: one prompt; files are not written
  PipelineSources reference;
  PipelineSources candidate;
  std::vector<std::string> differing;  ///< components whose checkpoints differ, for the report
  std::int64_t rounds = 1;             ///< each is the visits A B B A
  std::int64_t warmup_runs = 1;        ///< of each visit
  std::int64_t measure_runs = 2;
  std::string output_dir;   ///< perf.json of every measured run; empty: written nowhere
  std::string output_json;  ///< the report; empty: written nowhere
};

struct BenchResult {
  Json report;  ///< docs/bench.md
  Json brief;   ///< for stdout
};

/// A search for the layers of a quantized transformer that have to stay in full precision.
struct TuneRequest {
  GenerateRequest generate;       ///< the baseline, its prompts and how pictures are made
  PipelineSources candidate;      ///< whose transformer is quantized in every layer that may be
  std::string require;            ///< "noise_l2<=0.03"
  std::string group_by = "auto";  ///< auto, layer, kind or block
  std::int64_t psnr_prompts = 2;  ///< pictures a measured set; 0: none
  std::int64_t frontier_points =
      12;  ///< sets between nothing and everything kept that are measured
  std::int64_t max_search_runs = 64;  ///< measurements that the search may take
  std::string log_file;               ///< measurements, for the next run; empty: kept nowhere
};

struct TuneResult {
  Json report;                        ///< groups, frontier, sets, the chosen one (docs/tune.md)
  std::vector<std::string> patterns;  ///< what the chosen set keeps
};

/// Post-training calibration of a pipeline's transformer, as ModelOpt runs it (its reference, sections 3 and 4).
struct CalibrateRequest {
  PipelineSources sources;
  RunOptions run;
  /// As read: whatever ends their lines is still there. Cut into calls of batch_size prompts each.
  std::vector<std::string> prompts;
  std::int64_t batch_size = 2;         ///< prompts in one call of the pipeline
  std::int64_t n_steps = 30;           ///< denoising steps of one call
  std::optional<std::int64_t> height;  ///< default: what ModelOpt calibrates the model with
  std::optional<std::int64_t> width;
  std::optional<std::int64_t> max_sequence_length;
  std::optional<double> guidance_scale;
  std::uint64_t seed = 42;
  /// FILE with the packed initial latents of every call, passes one after the other: "000", "001", …; empty: drawn from
  /// the seed, every call of every pass with a generator of its own.
  std::string latents;
  std::string algorithm = "max";           ///< max or svdquant
  std::int64_t lowrank = 32;               ///< svdquant: rank of the high-precision branch
  std::int64_t block_size = 16;            ///< svdquant: NVFP4 block of the weight statistic
  std::vector<std::string> svdquant_skip;  ///< shell wildcards on module names: these stay plain
  /// What was measured (safetensors, ModelOpt's state-dict keys); a partial file of an equal request is continued.
  std::string state_file;
};

struct CalibrateResult {
  /// state_file, algorithm, passes, calls (of all passes), calls_resumed, quantizers, seconds.
  Json summary;
};

/// Joint low-rank branches for projections that read one tensor (ModelOpt reference, section 8).
struct UnifySvdquantRequest {
  std::string base_folder;  ///< the transformer's folder: names and shapes of its layers
  std::string state;        ///< a state file of SVDQuant, or a ModelOpt checkpoint (.pt)
  std::vector<std::vector<std::string>> groups;  ///< module names
  std::int64_t rank = 32;
  std::string output;  ///< safetensors with the members' keys only, named as in the state
};

/// A device that networks can run on.
struct DeviceInfo {
  std::string name;        ///< "cpu", "cuda:0"
  std::string model;       ///< "AVX512", "NVIDIA H200"
  std::string capability;  ///< "9.0"; of a CPU: empty
  double memory_gib = 0;   ///< of a GPU
};

/// Versions and devices, for `ditq version`.
struct EngineInfo {
  std::string libtorch;
  std::string cpu_capability;
  int threads = 0;
  std::vector<DeviceInfo> devices;
  std::string cuda;  ///< libraries, or why there is no CUDA device
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual GenerateResult generate(const GenerateRequest& request) = 0;
  virtual CompareResult compare(const CompareRequest& request) = 0;
  virtual BenchResult bench(const BenchRequest& request) = 0;
  virtual TuneResult tune(const TuneRequest& request) = 0;
  virtual CalibrateResult calibrate(const CalibrateRequest& request) = 0;
  virtual void unify_svdquant(const UnifySvdquantRequest& request) = 0;
  virtual EngineInfo info() = 0;
};

/// Increased whenever this header changes; a program refuses an engine of another number.
inline constexpr int kEngineInterface = 8;

}  // namespace ditq

extern "C" {
/// The interface number of the library.
int ditq_engine_interface();
/// The engine; lives as long as the library.
ditq::Engine* ditq_engine();
}
