set(files component_source.cpp
  atomic_output.cpp
  build_fp8.cpp
  build_nvfp4.cpp
  fp8_checks.cpp
  fp8_documents.cpp
  fp8_plan.cpp
  fp8_profile.cpp
  fp8_source.cpp
  ignore_list.cpp
  modelopt_config.cpp
  name_variants.cpp
  nvfp4_checks.cpp
  nvfp4_plan.cpp
  nvfp4_source.cpp
  paths.cpp
  scale_map.cpp
  side_files.cpp)
