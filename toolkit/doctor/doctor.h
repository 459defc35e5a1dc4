#pragma once
// `ditq doctor`: what is wrong with a transformer's checkpoint, before it makes a white picture.

#include <string>

#include "doctor/report.h"

namespace ditq {

/// Examines a transformer: a folder (or its parent with a folder `transformer`), or a .safetensors file. With a base
/// (the unquantized transformer, given likewise) every weight is compared with it; without one, only what the file
/// says about itself is judged. Reads tensor by tensor: memory is a few tensors. Whatever is wrong inside files that
/// can be parsed becomes a finding. With `verify` the shards are also read whole and compared with the file `checksums`
/// beside them.
/// Errors: what cannot be parsed (as Checkpoint::open and read_json), file_not_found; not_quantized's opposite, a
/// base that is quantized itself: wrong_dtype; as verify_checksums.
DoctorReport examine(const std::string& path, const std::string& base, bool verify = false);

}  // namespace ditq
