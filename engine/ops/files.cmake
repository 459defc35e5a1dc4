set(files abs_max.cpp beside.cpp group_norm.cpp embedding.cpp fake_quantize.cpp conv.cpp positions.cpp sinusoid.cpp smoothing.cpp linear.cpp low_rank.cpp rope.cpp modulate.cpp quantize.cpp nvfp4.cpp gemm.cpp gemm_operands.cpp distance.cpp activation.cpp attention.cpp attention_fp8.cpp joint_attention.cpp norm.cpp)
# Plain loops that the compiler turns into vector code; -O2 would leave most of them scalar.
set_source_files_properties(ops/abs_max.cpp ops/attention.cpp ops/fake_quantize.cpp ops/gemm.cpp ops/modulate.cpp ops/nvfp4.cpp ops/quantize.cpp ops/rope.cpp PROPERTIES COMPILE_OPTIONS -O3)
# Fused only where the code says so: softmax weights then round as torch's do.
set_property(SOURCE ops/attention.cpp APPEND PROPERTY COMPILE_OPTIONS -ffp-contract=off)
