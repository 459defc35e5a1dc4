#!/usr/bin/env python3
"""Do torch and SGLang take what `ditq quantize` writes?

    tests/interop/sglang_builder.py --ditq build/release/bin/ditq [--sglang WHEEL]

Runs under a Python with torch, safetensors and pip. Restores the bundled ModelOpt checkpoint, exports it again, then checks
that torch.load reads the torch checkpoint with and without weights_only, and that SGLang's own FP8 builder, out of its PyPI
package, makes the same tensors, documents and statistics of our export as of ModelOpt's.

The builder is one file that uses torch, safetensors and one function of the package; the package's other requirements
(CUDA kernels among them) are not installed: two modules that the function's file imports are replaced by empty ones.
"""

import argparse
import glob
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import types
import zipfile

import torch
from safetensors import safe_open

ROOT = pathlib.Path(__file__).resolve().parents[2]
OFFICIAL = ROOT / "models/tiny-flux-modelopt-fp8"
VERSION = "0.5.12"


def unpack_sglang(wheel, folder):
    """The builder's files in `folder`; the wheel comes from PyPI unless one is given."""
    if wheel is None:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"sglang=={VERSION}", "-d", str(folder)],
            check=True,
        )
        wheel = glob.glob(str(folder / "sglang-*.whl"))[0]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "multimodal_gen/tools/" in name or name.endswith("runtime/utils/quantization_utils.py"):
                archive.extract(name, folder)


def stub(name, **members):
    """An empty module of that name, and the packages above it."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def load_builder(folder):
    import logging

    base = "sglang.multimodal_gen"
    stub(f"{base}.runtime.layers.quantization", QuantizationConfig=object, get_quantization_config=None)
    stub(f"{base}.runtime.utils.logging_utils", init_logger=logging.getLogger)
    for package in ("sglang", base, f"{base}.runtime", f"{base}.runtime.utils", f"{base}.tools"):
        stub(package)
        sys.modules[package].__path__ = [str(folder / package.replace(".", "/"))]
    return importlib.import_module(f"{base}.tools.build_modelopt_fp8_transformer")


def run_builder(builder, export, checkpoint, output):
    """The builder's command line; returns the statistics that it prints."""
    arguments = ["builder", "--modelopt-hf-dir", str(export), "--modelopt-backbone-ckpt", str(checkpoint)]
    arguments += ["--base-transformer-dir", str(ROOT / "models/tiny-flux/transformer"), "--output-dir", str(output)]
    printed = []
    builder.print = lambda text: printed.append(text)
    sys.argv = arguments
    builder.main()
    return json.loads(printed[-1])


def tensors_of(folder):
    """Name, dtype, shape and bytes of every tensor."""
    found = {}
    for path in glob.glob(f"{folder}/*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                found[name] = (tensor.dtype, tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found


def check_torch(checkpoint):
    for weights_only in (True, False):
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=weights_only)
        modes = [name for name, _ in loaded["modelopt_state"]["modelopt_state_dict"]]
        assert modes == ["quantize", "max_calibrate"], modes
    official = torch.load(OFFICIAL / "transformer.small.pt", weights_only=False)
    for name, tensor in official["model_state_dict"].items():
        assert torch.equal(loaded["model_state_dict"][name], tensor), name
    print(f"torch {torch.__version__} reads the checkpoint: {len(loaded['model_state_dict'])} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ditq", required=True, help="the program")
    parser.add_argument("--sglang", help="a wheel of sglang that is there already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        subprocess.run(
            [arguments.ditq, "quantize", "--override-model-path", str(ROOT / "models/tiny-flux")]
            + ["--restore-from", str(OFFICIAL / "transformer.small.pt"), "--arithmetic", "cpu"]
            + ["--hf-ckpt-dir", str(folder / "hf"), "--quantized-torch-ckpt-save-path", str(folder / "ck")]
            + ["--torch-ckpt-name", "backbone", "--quiet"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        check_torch(folder / "ck/backbone.pt")
        unpack_sglang(arguments.sglang, folder)
        builder = load_builder(folder)
        ours = run_builder(builder, folder / "hf", folder / "ck", folder / "ours")
        # Compared with the digests of ModelOpt's own.
        subprocess.run([ROOT / "tests/support/make_export", arguments.ditq, folder / "official"], check=True)
        official = folder / "official"
        theirs = run_builder(builder, official / "transformer", official / "transformer.small.pt", folder / "theirs")
        assert ours == theirs, (ours, theirs)
        assert tensors_of(folder / "ours") == tensors_of(folder / "theirs")
        config = json.loads((folder / "ours/config.json").read_text())
        expected = json.loads((folder / "theirs/config.json").read_text())
        assert config.pop("_name_or_path").endswith(expected.pop("_name_or_path")), "paths"
        assert config == expected
        print(f"sglang {VERSION} takes the export: {ours}")


if __name__ == "__main__":
    main()
