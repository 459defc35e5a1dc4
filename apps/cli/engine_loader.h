#pragma once
// Opens the engine library, which links libtorch, for the subcommands that run networks. Nothing else in ditq loads it.

#include <string>
#include <vector>

#include "pipeline/engine.h"

namespace ditq {

/// Where the library is looked for: beside the program (../lib), then in its install folder, then the loader's search
/// path, in this order.
std::vector<std::string> engine_candidates();

/// Whether a candidate file is there; says nothing about libtorch.
bool engine_is_installed();

/// The engine, opened at the first call. Errors: engine_missing (not built, does not load, or of another build).
Engine& load_engine();

}  // namespace ditq
