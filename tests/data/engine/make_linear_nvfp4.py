#!/usr/bin/env python3
"""Records inputs of NVFP4 linears of the tiny pipeline and what SGLang computes for them, with exact sums.

usage: make_linear_nvfp4.py PIPELINE NVFP4_EXPORT LAYERS_BF16 OUT
needs: torch, diffusers, safetensors

g = 1 / input_scale; per 16 values s = E4M3(min(g * (max|x| * (1/6)), 448)) and codes E2M1(x * (1 / (s * (1/g)))), ties to
even, saturating, zero where s is 0; y = bf16(acc * (input_scale * weight_scale_2)) + bias, the bias added in bf16; acc
the exact sum of products rounded to float32 once.
"""
import sys
import torch
from diffusers import FluxTransformer2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

pipeline, export, layers, out = sys.argv[1:]
model = FluxTransformer2DModel.from_pretrained(pipeline, subfolder="transformer", torch_dtype=torch.bfloat16)
weights = load_file(export + "/diffusion_pytorch_model.safetensors")
with safe_open(layers, "pt") as f:
    call = {k[6:]: f.get_tensor(k) for k in f.keys() if k.startswith("input.")}

GRID = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
CODES = torch.cat([GRID, -GRID]).double()


def e2m1(v):
    """Nearest grid value, ties to the even code."""
    a = v.abs().clamp(max=6)
    distance = (a.unsqueeze(-1) - GRID).abs()
    best = distance.min(-1, keepdim=True).values
    tied = distance == best
    even = tied & (torch.arange(8) % 2 == 0)
    pick = torch.where(even.any(-1), even.int().argmax(-1), tied.int().argmax(-1))
    return torch.copysign(GRID[pick], v)


def activations(x, scale):
    g = 1 / scale
    b = x.float().reshape(x.shape[0], -1, 16)
    s = (g * (b.abs().amax(-1, keepdim=True) * torch.tensor(1 / 6))).clamp(max=448).to(torch.float8_e4m3fn).float()
    r = torch.where(s == 0, torch.zeros(()), 1 / (s * (1 / g)))
    return (e2m1(b * r).double() * s.double()).reshape(x.shape)


def weight(name):
    packed = weights[name + ".weight"]
    codes = torch.stack([packed & 15, packed >> 4], -1).reshape(packed.shape[0], -1)
    scales = weights[name + ".weight_scale"].double().repeat_interleave(16, 1)
    return CODES[codes.long()] * scales


inputs = {}
for name, module in model.named_modules():
    if name + ".weight_scale_2" in weights:
        module.register_forward_pre_hook(lambda m, a, name=name: inputs.__setitem__(name, a[0].detach()))
with torch.no_grad():
    model(**call)

tensors = {}
for name, x in inputs.items():
    if not name.startswith(("transformer_blocks.0.", "single_transformer_blocks.1")):
        continue
    x = x.reshape(-1, x.shape[-1])[::64].clone()
    xs, ws = weights[name + ".input_scale"], weights[name + ".weight_scale_2"]
    acc = (activations(x, xs) @ weight(name).T).float()
    y = (acc * (xs * ws)).to(torch.bfloat16)
    if name + ".bias" in weights:
        y = y + weights[name + ".bias"]
    tensors[name + ".input"], tensors[name + ".output"] = x, y
save_file(tensors, out)
print(len(tensors) // 2, "layers")
