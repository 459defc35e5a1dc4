#include "family/registry.h"

#include <algorithm>

namespace ditq {

const std::vector<const FamilySpec*>& families() {
  static const std::vector<const FamilySpec*> all = {
      &flux1_family(),         &flux2_family(),      &ltx2_family(),
      &hunyuan_video_family(), &qwen_image_family(), &wan_family(),
  };
  return all;
}

namespace {

template <typename Predicate>
const FamilySpec* first_family(Predicate predicate) {
  const auto& all = families();
  const auto found = std::find_if(all.begin(), all.end(), predicate);
  return found == all.end() ? nullptr : *found;
}

}  // namespace

const FamilySpec* find_family(std::string_view name) {
  return first_family([name](const FamilySpec* spec) { return spec->name == name; });
}

const FamilySpec* family_of_class(std::string_view class_name) {
  return first_family([class_name](const FamilySpec* spec) {
    return std::find(spec->class_names.begin(), spec->class_names.end(), class_name) !=
           spec->class_names.end();
  });
}

const FamilySpec* family_of_model_type(std::string_view model_type) {
  if (model_type.empty()) return nullptr;
  return first_family(
      [model_type](const FamilySpec* spec) { return spec->model_type == model_type; });
}

}  // namespace ditq
