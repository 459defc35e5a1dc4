#!/usr/bin/env python3
"""Cuts the tracked engine goldens out of the full golden set.

usage: cut.py GOLDEN_DIR OUT_DIR      (GOLDEN_DIR: the folder flux1-tiny of the golden data)
needs: torch, safetensors
"""
import json, sys
from pathlib import Path
import torch
from safetensors import safe_open
from safetensors.torch import save_file

golden, out = Path(sys.argv[1]), Path(sys.argv[2])

def read(name):
    with safe_open(golden / name, "pt") as f:
        return {k: f.get_tensor(k).contiguous() for k in f.keys()}, f.metadata()

def write(name, tensors, metadata=None):
    save_file({k: v.contiguous().clone() for k, v in sorted(tensors.items())}, out / name, metadata)

# Every 32nd token of the taps and of rope; inputs whole.
layers, meta = read("layers_fp32.safetensors")
keep = {}
for name, value in layers.items():
    inner = "attn." in name or "norm1" in name or name.endswith((".ff", ".ff_context", "norm.0", "norm.1", "norm2", "norm2_context"))
    if name.startswith("pos_embed"):
        keep[name] = value[::32]
    elif name.startswith("input.") or value.dim() == 2:
        if not inner: keep[name] = value
    elif not inner or name in ("transformer_blocks.0.attn.0", "transformer_blocks.0.attn.1"):
        keep[name] = value[:, ::32]
write("layers_fp32.safetensors", keep, {**meta, "tokens": "every 32nd of each tap and of rope"})

# States after every step; the start is noise.safetensors.
for case in ("p0_8steps", ):
    for variant in ("bf16", "fp32", "fp8", "fp8-none", "nvfp4", "nvfp4-all"):
        tensors, meta = read(f"trajectory/{case}_{variant}.safetensors")
        if variant == "fp32":  # steps 1, 4 and 8
            tensors["latents"] = tensors["latents"][:, [0, 3, 7]]
        write(f"{case}_{variant}.safetensors", {k: tensors[k] for k in ("latents", "timesteps", "sigmas") if k in tensors}, meta)
tensors, meta = read("trajectory/p0_8steps_fp32.safetensors")
image = (tensors["image"].clamp(0, 1) * 255).round().to(torch.uint8)
write("p0_8steps_image.safetensors", {"image": image[:, :, ::4]}, {**meta, "image": "round(255 x) of the F32 picture, every fourth row"})

for name in ("p0_bf16", "p0_fp32", "p2_fp32"):
    tensors, meta = read(f"text/{name}.safetensors")
    if name == "p2_fp32":  # text length 512: the ids only
        tensors = {k: tensors[k] for k in ("clip_ids", "t5_ids")}
    write(f"text_{name}.safetensors", tensors, meta)

noise, meta = read("noise.safetensors")
write("noise.safetensors", {"p0": noise["p0"]}, {"p0": meta["p0"]})
seeds, meta = read("seed_noise.safetensors")
write("seed_noise.safetensors", {k: v for k, v in seeds.items() if "64x48" in k}, meta)

# Schedules of the pipelines that pass linspace(1, 1/N) and shift by calculate_shift.
cases = json.loads((golden / "../families/schedulers.json").read_text())["cases"]
rows = {name: {"config": {"_class_name": "FlowMatchEulerDiscreteScheduler", **case["config"]},
               "steps": len(case["timesteps"]), "image_seq_len": case.get("image_seq_len", 0),
               "timesteps": case["timesteps"], "sigmas": case["sigmas"]}
        for name, case in cases.items()
        if name.startswith(("flux1", "qwen-image")) and len(case["timesteps"]) > 1 or name.startswith("flux1")}
(out / "flow_match.json").write_text(json.dumps(rows) + "\n")
