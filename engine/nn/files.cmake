set(files config_reader.cpp check_weights.cpp embeddings.cpp linear.cpp)
