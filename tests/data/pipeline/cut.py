#!/usr/bin/env python3
"""Cuts the tracked goldens of the comparison out of the full golden set, and asks scikit-image for SSIM.

usage: cut.py GOLDEN_DIR OUT_DIR      (GOLDEN_DIR: the folder flux1-tiny of the golden data)
needs: numpy, safetensors, torch (bfloat16), scikit-image, pillow
"""
import json, shutil, sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from skimage.metrics import structural_similarity

golden, out = Path(sys.argv[1]), Path(sys.argv[2])

# All pairs but the two that need half a megabyte or that belong to float samples, which ditq never has.
with safe_open(golden / "metric_cases/pairs.safetensors", "pt") as file:
    pairs = {name: file.get_tensor(name).contiguous() for name in sorted(file.keys())
             if not name.startswith(("pair.large.", "sample_"))}
save_file(pairs, out / "metric_pairs.safetensors")

expected = json.loads((golden / "metric_cases/expected.json").read_text())
del expected["tensor_metrics"]["large"]
(out / "metric_expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")

for name in ("bf16_vs_fp32", "fp8_vs_bf16", "fp8-none_vs_bf16"):
    shutil.copyfile(golden / f"metrics/p0_8steps_{name}.json", out / f"metrics_p0_8steps_{name}.json")


def ssim(a, b):
    return float(structural_similarity(a, b, data_range=255, channel_axis=-1))


similarity = {name: ssim(pairs[f"frame.{name}.reference"].numpy(), pairs[f"frame.{name}.candidate"].numpy())
              for name in ("black_white", "identical", "near", "unrelated")}
for i in range(5):
    similarity[f"video.{i}"] = ssim(pairs["video.reference"][i].numpy(), pairs["video.candidate"][i].numpy())
for case in ("p0_8steps", "p1_20steps", "p2_20steps"):
    a, b = (np.asarray(Image.open(golden / f"images/{case}_{variant}.png").convert("RGB")) for variant in ("bf16", "fp8"))
    similarity[f"images/{case}"] = ssim(a, b)
(out / "ssim.json").write_text(json.dumps(similarity, indent=1, sort_keys=True) + "\n")
