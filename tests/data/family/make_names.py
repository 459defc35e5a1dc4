#!/usr/bin/env python3
"""Folds the tensor lists of full-size models (golden/families/full-size) by block index: one line
"name dtype shape" per kind of tensor, '#' with a range for blocks. Usage: make_names.py FULL_SIZE_FOLDER"""
import collections
import lzma
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def fold(path):
    kinds = collections.OrderedDict()
    for line in lzma.open(path, "rt"):
        name, dtype, shape = line.split()
        match = re.match(r"(.*?\.)(\d+)(\..*)", name)
        key = (match.group(1), match.group(3), dtype, shape) if match else (name, "", dtype, shape)
        kinds.setdefault(key, []).append(int(match.group(2)) if match else None)
    for (head, tail, dtype, shape), blocks in kinds.items():
        if blocks != [None]:
            assert blocks == list(range(blocks[0], blocks[-1] + 1)), (head, tail, blocks)
            head += f"{{{blocks[0]}-{blocks[-1]}}}"
        yield f"{head}{tail} {dtype} {shape}"


def main():
    for model in sorted(os.listdir(sys.argv[1])):
        path = os.path.join(sys.argv[1], model, "transformer", "tensors.txt.xz")
        if os.path.exists(path):
            with open(os.path.join(HERE, model + ".txt"), "w") as file:
                file.write("\n".join(fold(path)) + "\n")


if __name__ == "__main__":
    main()
