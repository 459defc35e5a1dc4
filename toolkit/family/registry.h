#pragma once
// All families, listed explicitly.

#include <string>
#include <string_view>
#include <vector>

#include "family/family.h"

namespace ditq {

/// Every family, in the order of the support matrix.
const std::vector<const FamilySpec*>& families();

/// The family of that name, or nullptr.
const FamilySpec* find_family(std::string_view name);

/// The family that lists this _class_name, or nullptr.
const FamilySpec* family_of_class(std::string_view class_name);

/// The family with this --model-type spelling, or nullptr.
const FamilySpec* family_of_model_type(std::string_view model_type);

// One function per family, defined in the family's file.
const FamilySpec& flux1_family();
const FamilySpec& flux2_family();
const FamilySpec& ltx2_family();
const FamilySpec& hunyuan_video_family();
const FamilySpec& qwen_image_family();
const FamilySpec& wan_family();

}  // namespace ditq
