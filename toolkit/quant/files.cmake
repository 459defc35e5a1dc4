set(files cast.cpp clip.cpp clip_kernels.cpp config.cpp fp8.cpp fp8_avx2.cpp fp8_avx512.cpp fp8_portable.cpp nvfp4.cpp)
# Plain loops that the compiler turns into vector code, once for each instruction set; IEEE arithmetic throughout.
set(fp8_flags "-O3 -ffp-contract=off -fno-trapping-math")
set_source_files_properties(quant/clip_kernels.cpp quant/fp8_portable.cpp PROPERTIES COMPILE_FLAGS "${fp8_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(quant/fp8_avx2.cpp PROPERTIES COMPILE_FLAGS "${fp8_flags} -mavx2")
  set_source_files_properties(quant/fp8_avx512.cpp PROPERTIES
    COMPILE_FLAGS "${fp8_flags} -mavx512f -mavx512bw -mavx512vl -mprefer-vector-width=512")
endif()
