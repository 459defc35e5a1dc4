set(files group_norm.cpp embedding.cpp conv.cpp positions.cpp sinusoid.cpp linear.cpp rope.cpp modulate.cpp quantize.cpp gemm.cpp distance.cpp activation.cpp attention.cpp norm.cpp)
