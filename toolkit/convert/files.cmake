set(files component_source.cpp
  atomic_output.cpp
  build_fp8.cpp
  fp8_checks.cpp
  fp8_documents.cpp
  fp8_plan.cpp
  fp8_profile.cpp
  fp8_source.cpp
  ignore_list.cpp
  name_variants.cpp
  paths.cpp
  scale_map.cpp
  side_files.cpp)
