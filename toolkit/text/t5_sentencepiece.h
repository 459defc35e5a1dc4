#pragma once
// T5 from spiece.model alone.

#include <memory>
#include <string>

#include "text/tokenizer.h"
#include "text/tokenizer_files.h"

namespace ditq {

/// The slow T5Tokenizer of transformers 4.57 on the sentencepiece library: sentinels and special
/// tokens are split out first; `legacy` and `add_prefix_space` of the config decide about the space
/// in front.
/// Errors: file_not_found, bad_tokenizer.
std::unique_ptr<const Tokenizer> load_t5_sentencepiece(const std::string& path,
                                                       const TokenizerConfig& config);

}  // namespace ditq
