"""Writes the files of this folder with the official libraries. Usage: python make.py"""
import collections
import io
import os
import pickle
import zipfile

import safetensors.torch
import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(HERE, name)


def every_dtype():
    """One tensor of every dtype that torch and safetensors share; bytes count up from the dtype's number."""
    dtypes = ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "bfloat16",
              "float32", "float64", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz",
              "float8_e5m2fnuz", "float4_e2m1fn_x2"]
    out = {}
    for number, name in enumerate(dtypes):
        dtype = getattr(torch, name)
        size = 6 * torch.empty(0, dtype=dtype).element_size()
        data = torch.tensor([(number + i) % 256 for i in range(size)], dtype=torch.uint8)
        if name == "bool":
            data = data % 2
        out[f"t.{name}"] = data.view(dtype).reshape(2, 3)
    return out


def safetensors_files():
    tensors = every_dtype()
    tensors["a scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4, dtype=torch.bfloat16)
    tensors["empty scalar row"] = torch.zeros(0, dtype=torch.float32)
    tensors["é \"\\/\b\f\n\r\t\x01\x7f\u2028😀"] = torch.tensor([1], dtype=torch.uint8)
    with open(path("dtypes.safetensors"), "wb") as file:
        file.write(safetensors.torch.save(tensors, {"format": "pt \"ü\"\n\x1f"}))
    with open(path("no-tensor.safetensors"), "wb") as file:
        file.write(safetensors.torch.save({}))


def checkpoint():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    attributes = torch.ones(2)
    attributes.note = "kept by torch, ignored here"
    linear = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.constant_(linear.weight, 0.5)
    return {
        "whole": base,
        "transposed": base.t(),
        "row": base[2],
        "corner": base[1:3, 2:5],
        "expanded": torch.tensor([7.0]).expand(3),
        "scalar": torch.tensor(-1.5, dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.tensor([3.0, 4.0])),
        "attributes": attributes,
        "f8": torch.tensor([1.0, -2.0, 448.0]).to(torch.float8_e4m3fn),
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "i64": torch.tensor([-1, 2**40]),
        "bool": torch.tensor([True, False]),
        "module": linear.state_dict(),
        "plain": {
            "none": None, "true": True, "false": False, "int": -5, "wide": 2**40, "negative": -(2**40), "float": 0.1,
            "text": "é", "bytes": b"\x00\xff", "list": [1, [2]], "tuple": (1, 2, 3, 4), "pair": (1, 2), "nothing": (),
            "set": {1}, "frozen": frozenset([2]), 3: "int key", (1, 2): "tuple key",
            "dtype": torch.bfloat16, "size": base.shape, "device": torch.device("cuda", 1),
            "ordered": collections.OrderedDict(a=1),
        },
        "storage": torch.tensor([1, 2, 3], dtype=torch.uint8).untyped_storage(),
    }


def torch_files():
    for protocol in (2, 3, 4, 5):
        torch.save(checkpoint(), path(f"protocol{protocol}.pt"), pickle_protocol=protocol)
    torch.save({"w": torch.ones(2)}, path("legacy.pt"), _use_new_zipfile_serialization=False)
    torch.save({"w": torch.ones(2, dtype=torch.complex64).conj()}, path("conjugate.pt"))
    torch.save({"w": torch.ones(2, dtype=torch.complex128)}, path("complex128.pt"))
    torch.save({"w": torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)}, path("quantized.pt"))
    torch.save(torch.nn.Linear(1, 1), path("module.pt"))
    torch.save(MyDict(w=1), path("class.pt"))
    torch.jit.save(torch.jit.script(Empty()), path("torchscript.pt"))

    class Attack:
        def __reduce__(self):
            return os.system, ("touch pwned",)

    torch.save({"w": Attack()}, path("attack.pt"))


class MyDict(dict):
    pass


class Empty(torch.nn.Module):
    def forward(self):
        return 1


if __name__ == "__main__":
    torch.manual_seed(0)
    safetensors_files()
    torch_files()
