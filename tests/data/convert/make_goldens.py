#!/usr/bin/env python3
"""Packs what SGLang's FP8 builder wrote (manifests, commands) into one small JSON file per set, and the inputs of the
sets that a checkout carries. Usage: make_goldens.py GOLDEN_FOLDER, with torch installed for the checkpoints."""
import collections
import hashlib
import json
import os
import shlex
import shutil
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SETS = {"flux1-tiny": "flux1-tiny", "flux2": "families/flux2", "hunyuan-video": "families/hunyuan-video",
        "ltx2": "families/ltx2", "qwen-image": "families/qwen-image", "wan22": "families/wan22"}
TRACKED = ["hunyuan-video", "ltx2"]
# The export lacks what the test makes from the base, whose tensors it all has.
THINNED = ["hunyuan-video"]
# Cases whose base weights would double the size of what a checkout carries.
ONLY_BESIDE = {"hunyuan-video": ["fp8-auto-plus", "fp8-other-family"]}


def is_tracked(name, case):
    return name == "flux1-tiny" or (name in TRACKED and case not in ONLY_BESIDE.get(name, []))


def folded(numbers):
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in parts)


def cases_of(root):
    for line in open(os.path.join(root, "commands.txt")):
        if "build_modelopt_fp8_transformer" in line:
            arguments = shlex.split(line)[3:]
            at = arguments.index("--output-dir")
            case = os.path.basename(arguments[at + 1])
            yield case, arguments[:at] + arguments[at + 2:]


def pack(name, root):
    rows, order, cases = {}, [], {}
    for case, arguments in cases_of(root):
        manifest = json.load(open(os.path.join(root, "sglang", case, "manifest.json")))
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
        cases[case] = {"arguments": arguments, "statistics": manifest["statistics"], "files": manifest["other_files"],
                       "metadata": metadata, "tensors": folded(sorted(numbers)), "tracked": is_tracked(name, case)}
        if "written_twice" in manifest:
            cases[case]["written_twice"] = sorted(manifest["written_twice"])
    sources = {}
    for folder, _, files in sorted(os.walk(root)):
        for file in sorted(files):
            if "sources" in folder and file.endswith(".index.json"):
                weight_map = json.load(open(os.path.join(folder, file)))["weight_map"]
                source = "sharded" if name == "flux1-tiny" else os.path.basename(folder)
                shards = sorted(set(weight_map.values()))
                sources[source] = {"shards": shards,
                                   "tensors": [f"{t} {shards.index(s)}" for t, s in weight_map.items()]}
    out = {"cases": cases, "sources": sources, "tensors": order}
    with open(os.path.join(HERE, name + ".json"), "w") as file:
        json.dump(out, file, indent=0, separators=(",", ":"))
        file.write("\n")


def keep_amax(source, target):
    """The checkpoint without its weights: the builder reads nothing but amax values."""
    import torch
    checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    state = checkpoint["model_state_dict"]
    checkpoint["model_state_dict"] = collections.OrderedDict(
        (k, v.clone()) for k, v in state.items() if k.endswith("_amax"))
    torch.save(checkpoint, target)


def keep_tensors(source, target, wanted):
    """A safetensors file with the wanted tensors only; metadata kept."""
    data = open(source, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    out, offset, body = {}, 0, []
    for name, facts in header.items():
        if name == "__metadata__":
            out[name] = facts
        elif name in wanted:
            begin, end = facts["data_offsets"]
            body.append(data[8 + length + begin:8 + length + end])
            out[name] = dict(facts, data_offsets=[offset, offset + end - begin])
            offset += end - begin
    text = json.dumps(out, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(body))


def tensor_names(path):
    data = open(path, "rb")
    return set(json.loads(data.read(struct.unpack("<Q", data.read(8))[0]))) - {"__metadata__"}


def track(name, root):
    """Inputs of a set. The base holds only what some case takes from it: weights that differ from the export's. The
    export of a thinned set holds the rest: the test makes its other weights from the base's."""
    folder = os.path.join(HERE, name)
    for part in ("export", "base"):
        os.makedirs(os.path.join(folder, part), exist_ok=True)
    export = os.path.join(root, "modelopt/fp8/transformer")
    base = os.path.join(root, "base/transformer")
    shard = next(f for f in os.listdir(export) if f.endswith(".safetensors"))
    shutil.copyfile(os.path.join(export, "config.json"), os.path.join(folder, "export/config.json"))
    shutil.copyfile(os.path.join(base, "config.json"), os.path.join(folder, "base/config.json"))
    wanted = set()
    for case, arguments in cases_of(root):
        if "--base-transformer-dir" not in arguments or not is_tracked(name, case):
            continue
        written = json.load(open(os.path.join(root, "sglang", case, "manifest.json")))["tensors"]
        wanted |= {t for t, f in written.items() if t.endswith(".weight") and f["dtype"] != "F8_E4M3"}
    keep_tensors(os.path.join(base, shard), os.path.join(folder, "base", shard), wanted)
    keep_tensors(os.path.join(export, shard), os.path.join(folder, "export", shard),
                 tensor_names(os.path.join(export, shard)) - (wanted if name in THINNED else set()))
    keep_amax(os.path.join(root, "modelopt/fp8/transformer.small.pt"), os.path.join(folder, "checkpoint.pt"))
    if name == "hunyuan-video":
        keep_amax(os.path.join(root, "sources/no-to_k-amax.pt"), os.path.join(folder, "no-to_k-amax.pt"))


def main():
    golden = sys.argv[1]
    for name, place in SETS.items():
        pack(name, os.path.join(golden, place))
    for name in TRACKED:
        track(name, os.path.join(golden, SETS[name]))
    mha = os.path.join(HERE, "flux1-tiny-mha")
    os.makedirs(mha, exist_ok=True)
    for file in ("changed.safetensors", "config.json"):
        shutil.copyfile(os.path.join(golden, "flux1-tiny/modelopt/fp8-mha", file), os.path.join(mha, file))
    keep_amax(os.path.join(golden, "flux1-tiny/modelopt/fp8-mha/transformer.small.pt"), os.path.join(mha, "checkpoint.pt"))


if __name__ == "__main__":
    main()
