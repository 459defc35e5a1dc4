#!/bin/sh
# usage: fetch_cuda.sh [--cudnn] [DEST]
# Downloads CUDA 13.0's compiler and the headers of its runtime and cuBLAS with pip (pinned by hash): enough to build the
# CUDA module on a machine without a toolkit or a GPU. DEST/nvidia/cu13 then looks like a toolkit: bin/nvcc, include.
# --cudnn: the headers of cuDNN 9.19 and of its frontend instead, into DEST/include.
# Does nothing when DEST already holds it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
what=cuda
[ "${1:-}" = --cudnn ] && { what=cudnn; shift; }
dest=${1:-$here/../third_party/$what}
stamp="cuda 13.0.88"
[ $what = cudnn ] && stamp="cudnn 9.19.0 frontend 1.18.0"
[ "$(cat "$dest/.stamp" 2>/dev/null)" = "$stamp" ] && exit 0
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
wheels="$dest/.wheels"
trap 'rm -rf "$wheels"' EXIT
advice="-DDITQ_CUDA_ROOT=<CUDA 13.0 toolkit>"
[ $what = cudnn ] && advice="-DDITQ_CUDNN_ROOT=<folder whose include/ holds cudnn.h and cudnn_frontend.h>"
python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
  --python-version 3.12 --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 \
  --platform manylinux_2_17_x86_64 --platform manylinux2010_x86_64 --platform manylinux_2_12_x86_64 \
  --require-hashes -r "$here/$what-requirements.txt" -d "$wheels" || {
  echo "fetch_cuda: pip could not download the headers or the compiler. Offline? Configure with $advice" >&2
  exit 1
}
cd "$dest"
if [ $what = cudnn ]; then
  # cuDNN's smallest distribution has all headers; the library itself comes with libtorch.
  cmake -E tar xf "$wheels"/nvidia_cudnn_jit_cu13-*.whl -- nvidia/cudnn_jit/include
  cmake -E tar xf "$wheels"/nvidia_cudnn_frontend-*.whl -- include
  mv nvidia/cudnn_jit/include/* include/
  rm -r nvidia
  echo "$stamp" >.stamp
  exit 0
fi
for wheel in "$wheels"/*.whl; do
  case $wheel in
    # Of cuBLAS the headers: the library is not linked, libtorch brings it.
    */nvidia_cublas-*) cmake -E tar xf "$wheel" -- nvidia/cu13/include ;;
    *) cmake -E tar xf "$wheel" -- nvidia ;;
  esac
done
chmod -R u+x nvidia/cu13/bin nvidia/cu13/nvvm/bin
echo "$stamp" >"$dest/.stamp"
