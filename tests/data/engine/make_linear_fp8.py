#!/usr/bin/env python3
"""Records inputs of FP8 linears of the tiny pipeline and what SGLang computes for them, with exact sums.

usage: make_linear_fp8.py PIPELINE FP8_TRANSFORMER LAYERS_BF16 OUT
needs: torch, diffusers, safetensors

y = bf16(fma(acc * weight_scale, input_scale, bias)), acc the exact sum of code products rounded to float32 once.
"""
import sys
import torch
from diffusers import FluxTransformer2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

pipeline, fp8, layers, out = sys.argv[1:]
model = FluxTransformer2DModel.from_pretrained(pipeline, subfolder="transformer", torch_dtype=torch.bfloat16)
weights = load_file(fp8 + "/diffusion_pytorch_model.safetensors")
with safe_open(layers, "pt") as f:
    call = {k[6:]: f.get_tensor(k) for k in f.keys() if k.startswith("input.")}

inputs = {}
for name, module in model.named_modules():
    if name + ".weight_scale" in weights:
        module.register_forward_pre_hook(lambda m, a, name=name: inputs.__setitem__(name, a[0].detach()))
with torch.no_grad():
    model(**call)

tensors = {}
for name, x in inputs.items():
    if not name.startswith(("transformer_blocks.0.attn", "single_transformer_blocks.1")):
        continue
    x = x.reshape(-1, x.shape[-1])[::32].contiguous()
    w, ws, xs = weights[name + ".weight"], weights[name + ".weight_scale"], weights[name + ".input_scale"]
    xq = (x.float() * (1 / xs)).clamp(-448, 448).to(torch.float8_e4m3fn)
    acc = (xq.double() @ w.double().T).float()
    bias = weights.get(name + ".bias")
    scaled = (acc * ws).double() * xs.double()
    y = (scaled + (bias.double() if bias is not None else 0)).float().to(torch.bfloat16)
    tensors[name + ".input"], tensors[name + ".output"] = x, y
save_file(tensors, out)
print(len(tensors) // 2, "layers")
