set(files check_weights.cpp config_reader.cpp embeddings.cpp layer_listener.cpp linear.cpp linear_cuda.cpp linear_fp8_channel.cpp linear_group.cpp linear_nvfp4.cpp linear_svdquant.cpp)
