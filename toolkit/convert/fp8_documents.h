#pragma once
// Config, index and shard metadata of an FP8 transformer, byte for byte as SGLang's builder writes them.

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/fp8_plan.h"
#include "convert/fp8_source.h"

namespace ditq {

/// The texts of one conversion.
struct Fp8Documents {
  Json config;             ///< the output's config, quantization_config included
  std::string index_name;  ///< file name of the index
  std::string index;       ///< its text
};

/// Builds the documents and fills in the shards' metadata. Source: bridge reference 1.3.
Fp8Documents make_fp8_documents(const Fp8Source& source, Fp8Plan& plan);

}  // namespace ditq
