#!/usr/bin/env python3
"""Cuts the tracked goldens of calibration out of the full golden set and the worked example of SVDQuant.

usage: cut.py GOLDEN_DIR SVDQUANT_EXAMPLE OUT_DIR      (GOLDEN_DIR: the folder flux1-tiny of the golden data)
needs: safetensors, torch
"""
import json, sys
from pathlib import Path

import torch
from safetensors.torch import save_file

golden, example, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])

# Everything that any format measures: fp8-mha has the norms and attention's inputs, nvfp4 attention's outputs.
amax = json.loads((golden / "modelopt/fp8-mha/amax.json").read_text())
amax |= {key: value for key, value in json.loads((golden / "modelopt/nvfp4/amax.json").read_text()).items()
         if "bmm2_output" in key}
weights = {key.removesuffix(".weight_quantizer._amax"): value for key, value in amax.items() if "weight_quantizer" in key}
others = [key.removesuffix("._amax") for key in amax
          if "weight_quantizer" not in key and key.removesuffix(".input_quantizer._amax") not in weights]
lines = [f"{module} {value!r}" for module, value in sorted(weights.items())] + sorted(others)
(out / "quantizers.txt").write_text("\n".join(lines) + "\n")

vector = json.loads(example.read_text())
tensor = lambda values: torch.tensor(values, dtype=torch.float32)
save_file({"weight": tensor(vector["weight"]),
           "activations": tensor(vector["activations"]),
           "weight_mean": tensor(vector["weight_scale_stat"]),
           "activation_mean": tensor(vector["act_scale_stat"]),
           "losses": tensor([loss for _, loss in vector["losses"]]),
           "pre_quant_scale": tensor(vector["pre_quant_scale"]),
           "a": tensor(vector["svdquant_lora_a"]),
           "b": tensor(vector["svdquant_lora_b"]),
           "residual": tensor(vector["residual_weight"])}, out / "svdquant_example.safetensors")
