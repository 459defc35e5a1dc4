#pragma once
// Which tensors should be there, and which layers should be quantized.

#include <set>
#include <string>
#include <vector>

#include "convert/component_source.h"
#include "doctor/findings.h"
#include "doctor/layer.h"

namespace ditq {

/// Compares names and shapes with the base's. Modules in `broken` have findings already.
void check_tensors_of_base(const TransformerSource& source,
                           const TransformerSource& base,
                           const std::set<std::string>& broken,
                           Findings& findings);

/// Compares names and shapes with the family's table, where the config gives its dims.
void check_tensors_of_family(const TransformerSource& source, Findings& findings);

/// Layers whose scale order only their shapes tell: ditq reads them, loaders that go by keys and habit do not.
void check_declared_order(const TransformerSource& source, Findings& findings);

/// Layers that the ignore list names, though they are quantized.
void check_ignored(const TransformerSource& source,
                   const std::vector<Layer>& layers,
                   Findings& findings);

}  // namespace ditq
