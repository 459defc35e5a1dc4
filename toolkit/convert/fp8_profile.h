#pragma once
// Which layers an FP8 conversion keeps in BF16, and which names the runtime has for them.

#include <string>
#include <vector>

#include "base/json.h"
#include "base/regex.h"
#include "convert/build_fp8.h"
#include "family/family.h"

namespace ditq {

/// Fallback patterns of one conversion.
struct Fp8Profile {
  const FamilySpec* family = nullptr;   ///< whose patterns apply; nullptr: the user's only
  std::vector<Regex> family_patterns;   ///< tested with re.search on name variants
  std::vector<Regex> user_patterns;     ///< likewise
  std::vector<NameRule> runtime_names;  ///< empty without a runtime mapper

  bool empty() const { return family_patterns.empty() && user_patterns.empty(); }
};

/// Compiles the user's patterns. Errors: bad_pattern, naming --keep-bf16-pattern, position and reason.
std::vector<Regex> compile_user_patterns(const std::vector<std::string>& patterns);

/// The profile of a request on a source of this class. `merged`: the family whose merged export the source is, or
/// nullptr. Warns when --model-type contradicts the config.
/// Errors: usage (unknown --model-type), bad_pattern.
/// Source: bridge reference 2.3, steps 5 and 6.
Fp8Profile choose_profile(const BuildFp8Request& request,
                          const std::string& class_name,
                          const FamilySpec* merged);

}  // namespace ditq
