#!/usr/bin/env python3
"""Cuts the tracked goldens of text encoders and VAE out of the full golden set, and lists full-size tensors.

usage: cut.py GOLDEN_DIR OUT_DIR      (GOLDEN_DIR: the folder golden of the data, holding flux1-tiny/ and families/)
needs: torch, safetensors, transformers, diffusers
"""
import lzma, sys
from pathlib import Path
import torch
from diffusers import AutoencoderKL
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

golden, out = Path(sys.argv[1]), Path(sys.argv[2])


def read(name):
    with safe_open(golden / "flux1-tiny" / name, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, f.metadata()


def write(name, tensors, metadata):
    save_file({k: v.contiguous().clone() for k, v in sorted(tensors.items())}, out / name, metadata)


# Every eighth token of the hidden states.
layers, meta = read("text/p0_layers_fp32.safetensors")
ids, _ = read("text/p0_fp32.safetensors")
cut = {k: v[:, ::8] if v.dim() == 3 else v for k, v in layers.items()}
write("text_layers_fp32.safetensors", cut | {k: ids[k] for k in ("clip_ids", "t5_ids")}, meta)

# Every sixteenth token of a text length of 512.
for dtype in ("fp32", "bf16"):
    text, meta = read(f"text/p2_{dtype}.safetensors")
    keep = {k: text[k] for k in ("clip_ids", "t5_ids", "pooled_prompt_embeds")}
    write(f"text_p2_{dtype}.safetensors", keep | {"prompt_embeds": text["prompt_embeds"][:, ::16]}, meta)

# Every eighth row and column of the decoder's stages, every fourth of the picture.
vae, meta = read("vae_decode_fp32.safetensors")
cut = {"latents": vae["latents_unpacked"], "decoder.output": vae["decoder.output"][:, :, ::4, ::4]}
for name in ("decoder.conv_in", "decoder.mid_block", "decoder.up_blocks.0"):
    cut[name] = vae[name][:, :, ::8, ::8]
write("vae_fp32.safetensors", cut, meta)


# diffusers' own tiles, small ones.
tiny = AutoencoderKL.from_pretrained(Path(__file__).resolve().parents[3] / "models/tiny-flux/vae", torch_dtype=torch.float32)
tiny.enable_tiling()
tiny.tile_sample_min_size, tiny.tile_latent_min_size = 64, 8
scaled = vae["latents_unpacked"][:, :, :21, :27] / tiny.config.scaling_factor + tiny.config.shift_factor
with torch.no_grad():
    picture = tiny.decode(scaled, return_dict=False)[0]
write("vae_tiled_fp32.safetensors", {"tiled": picture[:, :, ::9, ::9]}, meta)


def names(file, model):
    rows = [f"{k} {'x'.join(map(str, v.shape))}" for k, v in model.state_dict().items()]
    (out / file).write_text("\n".join(rows) + "\n")


# transformers 5 writes CLIP's names with "text_model." in front and T5's embedding once.
with torch.device("meta"):
    clip = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
    t5 = T5EncoderModel(T5Config(d_model=4096, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu"))
names("clip_l.names", clip)
names("t5_xxl.names", t5)
vae = lzma.open(golden / "families/full-size/flux1-dev/vae/tensors.txt.xz", "rt").read().splitlines()
(out / "flux1_vae.names").write_text("\n".join(" ".join(row.split()[::2]) for row in vae if row) + "\n")
