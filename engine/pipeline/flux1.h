#pragma once
// The FLUX.1 pipeline.

#include <memory>

#include "pipeline/components.h"
#include "pipeline/pipeline.h"

namespace ditq {

/// Loads tokenizers, text encoders, transformer, scheduler and VAE. The transformer is checked before anything is
/// built. `layers`: null, or what gives its linear layers second weights. Errors: as load_pipeline.
std::unique_ptr<Pipeline> load_flux1(const ComponentFolders& folders,
                                     const PipelineSources& sources,
                                     const RunOptions& options,
                                     at::Device device,
                                     std::shared_ptr<LayerSwitch> layers);

}  // namespace ditq
