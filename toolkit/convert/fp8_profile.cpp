#include "convert/fp8_profile.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "family/registry.h"

namespace ditq {
namespace {

const FamilySpec* profile_family(const std::string& model_type,
                                 const FamilySpec* of_class,
                                 const FamilySpec* merged) {
  if (model_type == "none") return nullptr;
  if (model_type == "auto") {
    if (merged != nullptr) return merged;
    return of_class != nullptr && of_class->profile_by_class ? of_class : nullptr;
  }
  return family_of_model_type(model_type);
}

void check_model_type(const std::string& model_type) {
  const std::vector<std::string> known = fp8_model_types();
  if (std::find(known.begin(), known.end(), model_type) != known.end()) return;
  throw Error(ErrorCode::usage, "unknown --model-type",
              {.expected = fmt::format("one of {}", fmt::join(known, ", ")), .found = model_type});
}

// The documented set belongs to the family itself: its patterns tried on another family's names stay SGLang's.
bool uses_documented(FallbackSet set, const FamilySpec& family, const FamilySpec* of_class) {
  return set == FallbackSet::documented && !family.fp8_fallback_documented.empty() &&
         (of_class == nullptr || of_class == &family);
}

}  // namespace

std::vector<std::string> fp8_model_types() {
  std::vector<std::string> types = {"auto"};
  for (const FamilySpec* family : families()) {
    if (!family->model_type.empty()) types.push_back(family->model_type);
  }
  types.emplace_back("none");
  return types;
}

FallbackSet parse_fallback_set(std::string_view spelling) {
  if (spelling == "documented") return FallbackSet::documented;
  if (spelling == "upstream") return FallbackSet::upstream;
  throw Error(ErrorCode::usage, "unknown --fallback-set",
              {.expected = "documented or upstream", .found = std::string(spelling)});
}

std::vector<Regex> compile_user_patterns(const std::vector<std::string>& patterns) {
  std::vector<Regex> compiled;
  for (const std::string& pattern : patterns) {
    try {
      compiled.emplace_back(pattern);
    } catch (const Error& error) {
      throw Error(error.code(), "--keep-bf16-pattern: " + error.sentence(), error.facts());
    }
  }
  return compiled;
}

Fp8Profile choose_profile(const BuildFp8Request& request,
                          const std::string& class_name,
                          const FamilySpec* merged) {
  check_model_type(request.model_type);
  const FamilySpec* of_class = family_of_class(class_name);
  const FamilySpec* chosen = family_of_model_type(request.model_type);
  Fp8Profile profile;
  profile.family = profile_family(request.model_type, of_class, merged);
  profile.user_patterns = compile_user_patterns(request.keep_bf16_patterns);
  if (profile.family != nullptr) {
    const bool documented = uses_documented(request.fallback_set, *profile.family, of_class);
    for (const std::string& pattern :
         documented ? profile.family->fp8_fallback_documented : profile.family->fp8_fallback) {
      profile.family_patterns.emplace_back(pattern);
    }
  }
  // The class decides here for every model type; an explicit type adds its own family.
  for (const FamilySpec* family : {chosen, of_class}) {
    if (family != nullptr && profile.runtime_names.empty())
      profile.runtime_names = family->runtime_names;
  }
  if (chosen != nullptr && of_class != nullptr && chosen != of_class) {
    log_warning(
        fmt::format("--model-type {} contradicts the config, whose _class_name {} is {}; the "
                    "patterns of {} are used",
                    request.model_type, class_name, of_class->title, chosen->title));
  }
  return profile;
}

}  // namespace ditq
