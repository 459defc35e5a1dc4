set(files attention.cpp gemm.cpp module.cpp norm_modulate.cu nvfp4.cu qk_norm_rope.cu quantize.cu upload.cpp)
