#pragma once
// The flags that generate and compare share: what is loaded, what is made, how it runs.

#include <string>

#include "flags.h"
#include "pipeline/engine.h"

namespace ditq {

/// Declares flags on a request and completes the request after parsing.
class GenerateFlags {
 public:
  /// Both must outlive this.
  GenerateFlags(Flags& flags, GenerateRequest& request) : flags_(flags), request_(request) {}

  void declare_sources();   ///< --model-path, --<component>-path, …
  void declare_sampling();  ///< --prompt, --seed, sizes, …
  void declare_run();       ///< --device, --dtype, …

  /// Checks what single flags cannot, and applies size presets. Errors: usage.
  void finish_sampling();
  void finish_run() const;

 private:
  Flags& flags_;
  GenerateRequest& request_;
  bool is_4k_ = false, is_2k_ = false, is_1080p_ = false, is_720p_ = false;
  bool vae_tiling_ = false;
};

/// Expands repository ids and checks that every path is there and every overridden component is one of the pipeline.
/// Errors: file_not_found, usage, json_syntax.
void resolve_sources(PipelineSources& sources);

}  // namespace ditq
