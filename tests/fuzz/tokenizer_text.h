#pragma once
// What targets for tokenizer files do with a tokenizer that the reader accepted.

#include <string>

#include "text/tokenizer.h"

namespace ditq::fuzz {

/// Encodes a few texts and decodes every id.
void use(const Tokenizer& tokenizer);

/// Loads a folder of tokenizer files, which may be refused, and uses what comes of it.
void load_and_use(const std::string& folder,
                  ClipTokenizerClass clip_class = ClipTokenizerClass::fast);

}  // namespace ditq::fuzz
