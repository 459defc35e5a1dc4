set(files attention.cpp attention_sm90.cu gemm.cpp gemm_choice.cpp gemm_search.cpp module.cpp norm_modulate.cu nvfp4.cu qk_norm_rope.cu quantize.cu upload.cpp)
