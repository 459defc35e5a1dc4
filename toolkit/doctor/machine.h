#pragma once
// What this machine can run a checkpoint with.

#include <cstdint>
#include <string>

#include "doctor/report.h"

namespace ditq {

/// Looks at /proc. `scheme`, `title` and `runs` (ditq has a network for the family) say what is to be run, `bytes` how
/// large its tensors are.
MachineReport look_at_machine(const std::string& scheme,
                              const std::string& title,
                              bool runs,
                              std::uint64_t bytes);

}  // namespace ditq
