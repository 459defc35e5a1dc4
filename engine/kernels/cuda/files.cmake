set(files gemm.cpp module.cpp norm_modulate.cu qk_norm_rope.cu quantize.cu upload.cpp)
