set(files denoise.cpp flow_match_euler.cpp noise.cpp)
