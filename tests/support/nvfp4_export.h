#pragma once
// ModelOpt's NVFP4 export of the bundled model, made anew.

#include <string>

namespace ditq::test {

/// Writes the export into a new folder: models/tiny-flux quantized with the official export's own global scales, which
/// gives its bytes (nvfp4_golden_test compares them).
void write_flux1_nvfp4_export(const std::string& folder);

}  // namespace ditq::test
