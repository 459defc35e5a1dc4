#!/usr/bin/env python3
"""Packs what SGLang's NVFP4 builder wrote. Usage: make_nvfp4_goldens.py GOLDEN_FOLDER.

nvfp4.json has the arguments of every conversion and, for FLUX.1, the results; those of the other families are read from
the golden folder itself. flux1-tiny-nvfp4/ has what of the FLUX.1 export cannot be computed from models/tiny-flux."""
import hashlib
import json
import os
import shlex
import struct
import sys

from make_goldens import HERE, SETS, folded, keep_tensors


def cases_of(root):
    found = {}
    for line in open(os.path.join(root, "commands.txt")):
        if "build_modelopt_nvfp4_transformer" in line:
            arguments = shlex.split(line)[3:]
            at = arguments.index("--output-dir")
            found[os.path.basename(arguments[at + 1])] = arguments[:at] + arguments[at + 2:]
    # Written by the later release, whose default is no swap.
    if os.path.isdir(os.path.join(root, "sglang/nvfp4-default-newer")):
        found["nvfp4-default-newer"] = found["nvfp4-default"] + ["--no-swap-weight-nibbles"]
    return found


def expected(manifest, rows, order):
    numbers = []
    for tensor, facts in sorted(manifest["tensors"].items()):
        shape = "x".join(map(str, facts["shape"])) or "-"
        row = f"{tensor} {facts['dtype']} {shape} {facts['sha256'][:32]} {facts['shard']}"
        if row not in rows:
            rows[row] = len(order)
            order.append(row)
        numbers.append(rows[row])
    metadata = {shard: {key: hashlib.sha256(value.encode()).hexdigest() for key, value in sorted(values.items())}
                for shard, values in manifest["metadata"].items()}
    return {"statistics": manifest["statistics"], "files": manifest["other_files"], "metadata": metadata,
            "tensors": folded(sorted(numbers))}


def main():
    golden = sys.argv[1]
    out, rows, order = {}, {}, []
    for name, place in SETS.items():
        root = os.path.join(golden, place)
        out[name] = {}
        for case, arguments in sorted(cases_of(root).items()):
            out[name][case] = {"arguments": arguments}
            # A conversion that ditq refuses.
            if name == "flux1-tiny" and "svdquant" not in case:
                manifest = json.load(open(os.path.join(root, "sglang", case, "manifest.json")))
                out[name][case].update(expected(manifest, rows, order))
    with open(os.path.join(HERE, "nvfp4.json"), "w") as file:
        json.dump({"sets": out, "tensors": order}, file, indent=0, separators=(",", ":"))
        file.write("\n")

    export = os.path.join(golden, "flux1-tiny/modelopt/nvfp4/transformer")
    folder = os.path.join(HERE, "flux1-tiny-nvfp4")
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(export, "diffusion_pytorch_model.safetensors")
    data = open(source, "rb").read(1 << 20)
    header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    small = [n for n in header if n.endswith(("weight_scale_2", "input_scale", "_amax"))]
    keep_tensors(source, os.path.join(folder, "small.safetensors"), small)
    with open(os.path.join(export, "config.json")) as config, open(os.path.join(folder, "config.json"), "w") as copy:
        copy.write(config.read())


if __name__ == "__main__":
    main()
