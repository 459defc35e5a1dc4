#!/bin/sh
# usage: fetch_libtorch.sh [--cuda] [DEST]
# Downloads the C++ part of the torch 2.11.0 wheel with pip (pinned by hash) and lays it out as in site-packages:
# DEST/torch and DEST/nvidia. --cuda adds libtorch_cuda.so, to link against. Always the cp312 wheel, whatever Python
# runs pip: one pinned file everywhere. Does nothing when DEST already holds it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
variant=cpu
[ "${1:-}" = --cuda ] && { variant=cuda; shift; }
dest=${1:-$here/../third_party/libtorch}
stamp="torch 2.11.0 $variant"
case "$(cat "$dest/.stamp" 2>/dev/null)" in "$stamp" | "torch 2.11.0 cuda") exit 0 ;; esac
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
wheels="$dest/.wheels"
trap 'rm -rf "$wheels"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
  --python-version 3.12 --implementation cp --abi cp312 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
  --require-hashes -r "$here/libtorch-requirements.txt" -d "$wheels" || {
  echo "fetch_libtorch: pip could not download torch 2.11.0. Offline? Unpack a torch 2.11 site-packages folder somewhere" >&2
  echo "fetch_libtorch: and configure with -DDITQ_LIBTORCH_ROOT=<that folder>, or build without it: scripts/build toolkit" >&2
  exit 1
}
libs="torch/lib/libgomp.so.1 torch/lib/libc10.so torch/lib/libtorch_cpu.so"
[ $variant = cuda ] && libs="$libs torch/lib/libc10_cuda.so torch/lib/libtorch_cuda.so torch/lib/libtorch_nvshmem.so"
cd "$dest"
# shellcheck disable=SC2086
cmake -E tar xf "$wheels"/torch-2.11.0-*.whl -- torch/include/ATen torch/include/c10 torch/include/torch $libs
cmake -E tar xf "$wheels"/nvidia_cuda_runtime-*.whl -- nvidia/cu13/lib/libcudart.so.13
cmake -E tar xf "$wheels"/nvidia_cuda_cupti-*.whl -- nvidia/cu13/lib/libcupti.so.13
echo "$stamp" >"$dest/.stamp"
