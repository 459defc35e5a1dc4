#!/usr/bin/env python3
"""Times diffusers' FluxPipeline on the CPU, for bench/flux1_cpu.

usage: peer_diffusers.py PIPELINE --text-length N --size N --steps N --dtype bf16|fp32 --runs N
needs: torch, diffusers, transformers. Prints one JSON object: milliseconds of each step and of each whole run.
"""
import argparse, json, time
started = time.perf_counter()
ap = argparse.ArgumentParser()
ap.add_argument("pipeline")
ap.add_argument("--text-length", type=int, default=64)
ap.add_argument("--size", type=int, default=256)
ap.add_argument("--steps", type=int, default=8)
ap.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
ap.add_argument("--runs", type=int, default=3)
ap.add_argument("--threads", type=int, default=0)
a = ap.parse_args()

import torch
from diffusers import FluxPipeline

if a.threads:
    torch.set_num_threads(a.threads)
dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[a.dtype]
pipe = FluxPipeline.from_pretrained(a.pipeline, torch_dtype=dtype)
pipe.set_progress_bar_config(disable=True)
out = {"steps_ms": [], "runs_ms": [], "start_to_first_step_ms": None, "threads": torch.get_num_threads(), "torch": torch.__version__}

for run in range(a.runs + 1):  # the first run warms up
    marks = [time.perf_counter()]
    def mark(pipeline, step, timestep, kwargs):
        marks.append(time.perf_counter())
        return kwargs
    pipe("a large red circle on a navy background", height=a.size, width=a.size, num_inference_steps=a.steps,
         guidance_scale=3.5, max_sequence_length=a.text_length, generator=torch.Generator("cpu").manual_seed(run),
         callback_on_step_end=mark)
    end = time.perf_counter()
    if run == 0:
        out["start_to_first_step_ms"] = (marks[1] - started) * 1e3
        continue
    # The first mark includes text encoding: leave it out.
    out["steps_ms"] += [(y - x) * 1e3 for x, y in zip(marks[1:], marks[2:])]
    out["runs_ms"].append((end - marks[0]) * 1e3)
print(json.dumps(out))
