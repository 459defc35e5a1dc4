set(files config_reader.cpp check_weights.cpp embeddings.cpp layer_listener.cpp linear.cpp linear_cuda.cpp linear_group.cpp linear_nvfp4.cpp linear_nvfp4_cuda.cpp linear_svdquant.cpp)
