# The CUDA compiler and its headers: a toolkit's (nvcc on the PATH or under CUDA_HOME), else the pinned wheels that
# tools/fetch_cuda.sh unpacks. Nothing here needs a GPU.
set(DITQ_CUDA_ROOT "" CACHE PATH "CUDA 13.0 toolkit: holds bin/nvcc and include/cublasLt.h")
option(DITQ_FETCH_CUDA "Download CUDA's compiler when no toolkit is found" ON)
set(cuda_fetched "${PROJECT_SOURCE_DIR}/third_party/cuda/nvidia/cu13")
find_program(DITQ_NVCC nvcc HINTS "${DITQ_CUDA_ROOT}" ENV CUDA_HOME PATHS /usr/local/cuda "${cuda_fetched}" PATH_SUFFIXES bin)
if(NOT DITQ_NVCC AND DITQ_FETCH_CUDA)
  message(STATUS "Fetching CUDA's compiler into third_party/cuda")
  execute_process(COMMAND sh "${PROJECT_SOURCE_DIR}/tools/fetch_cuda.sh" "${PROJECT_SOURCE_DIR}/third_party/cuda"
                  COMMAND_ERROR_IS_FATAL ANY)
  set(DITQ_NVCC "${cuda_fetched}/bin/nvcc" CACHE FILEPATH "nvcc" FORCE)
endif()
if(NOT DITQ_NVCC)
  message(FATAL_ERROR "no nvcc: run tools/fetch_cuda.sh, or configure with -DDITQ_CUDA_ROOT=<CUDA 13.0 toolkit>")
endif()
get_filename_component(nvcc_real "${DITQ_NVCC}" REALPATH)
get_filename_component(cuda_root "${nvcc_real}/../.." REALPATH)
set(CMAKE_CUDA_COMPILER "${DITQ_NVCC}")
set(CMAKE_CUDA_ARCHITECTURES OFF)  # each file gets ditq_cuda_options
set(CMAKE_CUDA_FLAGS_INIT "--cudart=none")
set(CMAKE_CUDA_COMPILER_WORKS TRUE)
enable_language(CUDA)
# The wheels' compiler links nothing, so that CMake cannot ask it for these; without them /usr/include is put in front of
# the C++ library's own folders.
if(NOT CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES)
  set(CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
endif()
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc speaks C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
if(DITQ_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${DITQ_CCACHE}")
endif()
set(ditq_cuda_options --compress-mode=size)  # of the code for all architectures
foreach(architecture ${DITQ_CUDA_ARCHITECTURES})
  list(APPEND ditq_cuda_options "-gencode=arch=compute_${architecture},code=sm_${architecture}")
endforeach()

# Headers only: the libraries themselves, cuDNN too, come with libtorch_cuda.so, which is loaded before the module.
add_library(ditq_cuda_headers INTERFACE)
target_include_directories(ditq_cuda_headers SYSTEM INTERFACE "${cuda_root}/include")

# cuDNN's frontend (header-only) and the C headers below it.
set(DITQ_CUDNN_ROOT "" CACHE PATH "Folder whose include/ holds cudnn.h and cudnn_frontend.h")
set(cudnn_fetched "${PROJECT_SOURCE_DIR}/third_party/cudnn")
if(NOT DITQ_CUDNN_ROOT)
  execute_process(COMMAND sh "${PROJECT_SOURCE_DIR}/tools/fetch_cuda.sh" --cudnn "${cudnn_fetched}" COMMAND_ERROR_IS_FATAL ANY)
  set(DITQ_CUDNN_ROOT "${cudnn_fetched}")
endif()
target_include_directories(ditq_cuda_headers SYSTEM INTERFACE "${DITQ_CUDNN_ROOT}/include")
target_compile_definitions(ditq_cuda_headers INTERFACE CUDNN_FRONTEND_SKIP_JSON_LIB)
