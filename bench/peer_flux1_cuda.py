"""usage: peer_flux1_cuda.py FOLDER

The peer on ditq's own checkpoint: the transformer in FOLDER, which 'ditq synth' wrote in BF16 or FP8, in diffusers with
torch.compile and cuDNN's attention, one denoise step at 1024 x 1024 with 512 text tokens. FP8 layers are static
per-tensor ones with fast accumulation, as ModelOpt's checkpoints are run.

A chip at its power limit computes faster on values that flip fewer bits. Hence the same weights, scales and kind of input
as cuda_bench's; and, to see what values alone do, the same compiled program once more with those of a model whose
parameters, norms included, are all drawn from N(0, 0.02): attention is then the mean of all tokens. JSON, one object.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from safetensors import safe_open
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

TEXT, SIDE = 512, 64
GPU = "cuda"


class Fp8Linear(nn.Module):
    """out = codes(x / input_scale) @ weight, with both scales and the bias."""

    def __init__(self, out_features, in_features):
        super().__init__()
        weight = torch.empty(out_features, in_features, dtype=torch.float8_e4m3fn, device=GPU)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.empty(out_features, dtype=torch.bfloat16, device=GPU))
        for name in ("weight_scale", "input_scale"):
            self.register_buffer(name, torch.empty((), device=GPU))

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        codes = (rows.float() / self.input_scale).clamp(-448, 448).to(torch.float8_e4m3fn)
        out = torch._scaled_mm(codes, self.weight.t(), self.input_scale, self.weight_scale, bias=self.bias,
                               out_dtype=torch.bfloat16, use_fast_accum=True)
        return out.view(*x.shape[:-1], -1)


def load(folder):
    """The model of `folder`, and how many of its layers are FP8."""
    config = json.loads((folder / "config.json").read_text())
    with torch.device("meta"):
        model = FluxTransformer2DModel.from_config(config).to(torch.bfloat16)
    model = model.to_empty(device=GPU).eval()
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt", device=GPU) as shard:
            tensors.update({name: shard.get_tensor(name) for name in shard.keys()})
    layers = [name[: -len(".weight_scale")] for name in tensors if name.endswith(".weight_scale")]
    for name in layers:
        parent, _, leaf = name.rpartition(".")
        old = model.get_submodule(name)
        setattr(model.get_submodule(parent), leaf, Fp8Linear(old.out_features, old.in_features))
    state = model.state_dict()
    assert state.keys() == tensors.keys(), sorted(state.keys() ^ tensors.keys())[:5]
    for name, tensor in tensors.items():
        state[name].copy_(tensor.reshape(state[name].shape))
    return model, len(layers)


def fill_with_noise(model):
    """Every parameter from N(0, 0.02), scales of activations 0.01."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, Fp8Linear):
            values = torch.randn(module.weight.shape, device=GPU) * 0.02
            module.weight_scale.copy_(values.abs().max() / 448)
            module.weight.copy_((values / module.weight_scale).to(torch.float8_e4m3fn))
            module.bias.normal_(0, 0.02)
            module.input_scale.fill_(0.01)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02)


def inputs(config):
    torch.manual_seed(1)
    side = torch.arange(SIDE, device=GPU)
    ids = torch.zeros(SIDE, SIDE, 3, device=GPU)
    ids[..., 1] += side[:, None]
    ids[..., 2] += side[None, :]
    normal = lambda *shape: torch.randn(*shape, device=GPU, dtype=torch.bfloat16)
    return {"hidden_states": normal(1, SIDE * SIDE, config.in_channels),
            "encoder_hidden_states": normal(1, TEXT, config.joint_attention_dim),
            "pooled_projections": normal(1, config.pooled_projection_dim),
            "timestep": torch.tensor([0.7], device=GPU, dtype=torch.bfloat16),
            "guidance": torch.tensor([3.5], device=GPU) if config.guidance_embeds else None,
            "img_ids": ids.reshape(-1, 3), "txt_ids": torch.zeros(TEXT, 3, device=GPU), "return_dict": False}


def measure(step):
    """Milliseconds of a step: each alone, and back to back after seconds of others."""
    alone = []
    for i in range(23):
        begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
        begin.record()
        step()
        end.record()
        torch.cuda.synchronize()
        if i >= 3:
            alone.append(begin.elapsed_time(end))
    start = time.time()
    while time.time() - start < 3:
        step()
        torch.cuda.synchronize()
    points = [torch.cuda.Event(True) for _ in range(31)]
    points[0].record()
    for point in points[1:]:
        step()
        point.record()
    torch.cuda.synchronize()
    together = [a.elapsed_time(b) for a, b in zip(points, points[1:])]
    return {"each alone": round(statistics.median(alone), 2), "back to back": round(statistics.median(together), 2)}


def main():
    folder = Path(sys.argv[1])
    model, fp8_layers = load(folder)
    given = inputs(model.config)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        start = time.time()
        compiled = torch.compile(model)
        compiled(**given)
        torch.cuda.synchronize()
        out = {"peer": "diffusers with torch.compile", "transformer": str(folder), "fp8 layers": fp8_layers,
               "compile s": round(time.time() - start, 1)}
        out["step ms"] = measure(lambda: compiled(**given))
        fill_with_noise(model)
        out["step ms, all parameters N(0, 0.02)"] = measure(lambda: compiled(**given))
    print(json.dumps(out))


main()
