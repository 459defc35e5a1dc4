# Imported targets for the torch 2.11.0 wheel: libtorch::cpu and libtorch::openmp.
# DITQ_LIBTORCH_ROOT is any folder holding torch/ and nvidia/ side by side: our third_party/libtorch, or the
# site-packages of a Python that has the same torch version.
set(DITQ_LIBTORCH_ROOT "${PROJECT_SOURCE_DIR}/third_party/libtorch" CACHE PATH "Folder that holds torch/ and nvidia/")
option(DITQ_FETCH_LIBTORCH "Download libtorch when DITQ_LIBTORCH_ROOT lacks it" ON)
set(libtorch_lib "${DITQ_LIBTORCH_ROOT}/torch/lib")
if(NOT EXISTS "${libtorch_lib}/libtorch_cpu.so" AND DITQ_FETCH_LIBTORCH)
  message(STATUS "Fetching libtorch into ${DITQ_LIBTORCH_ROOT}")
  execute_process(COMMAND sh "${PROJECT_SOURCE_DIR}/tools/fetch_libtorch.sh" "${DITQ_LIBTORCH_ROOT}"
                  COMMAND_ERROR_IS_FATAL ANY)
endif()
set(libtorch_version_header "${DITQ_LIBTORCH_ROOT}/torch/include/torch/headeronly/version.h")
if(NOT EXISTS "${libtorch_version_header}")
  message(FATAL_ERROR "no libtorch under ${DITQ_LIBTORCH_ROOT}: run tools/fetch_libtorch.sh, or configure with "
                      "-DDITQ_LIBTORCH_ROOT=<site-packages with torch 2.11>, or use the preset 'toolkit'")
endif()
file(STRINGS "${libtorch_version_header}" libtorch_version REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
if(NOT libtorch_version MATCHES "MAJOR 2.*MINOR 11")
  message(FATAL_ERROR "ditq needs torch 2.11 under ${DITQ_LIBTORCH_ROOT}, found: ${libtorch_version}")
endif()

function(import_libtorch name file)
  add_library(libtorch::${name} SHARED IMPORTED GLOBAL)
  set_target_properties(libtorch::${name} PROPERTIES IMPORTED_LOCATION "${libtorch_lib}/${file}")
  target_link_libraries(libtorch::${name} INTERFACE ${ARGN})
endfunction()
import_libtorch(c10 libc10.so)
target_include_directories(libtorch::c10 SYSTEM INTERFACE "${DITQ_LIBTORCH_ROOT}/torch/include")
target_compile_definitions(libtorch::c10 INTERFACE AT_PER_OPERATOR_HEADERS)
import_libtorch(cpu libtorch_cpu.so libtorch::c10)
# The libgomp that libtorch itself uses; Debian's beside it would draw a run-path warning.
import_libtorch(openmp libgomp.so.1)
target_compile_options(libtorch::openmp INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
