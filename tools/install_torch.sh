#!/bin/sh
# Install the build of PyTorch that this machine can use: install_torch.sh BIN REQUIREMENT [INDEX]
# Where nvidia-smi finds a GPU: a CUDA build, and an error if PyTorch then cannot use it. Elsewhere: the CPU build
# where one is offered.
set -eu
bin=$1 requirement=$2 index=${3:-}
pip="$bin/python -m pip install -q --disable-pip-version-check"
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
    $pip ${index:+--index-url "$index"} "${requirement%%==*}"
    "$bin/python" -c 'import torch; raise SystemExit(not torch.cuda.is_available())' || {
        echo "The driver sees a GPU and PyTorch cannot use it." >&2
        echo "Give TORCH_INDEX= the address of a PyTorch build for this driver's CUDA version (see nvidia-smi)." >&2
        exit 1
    }
else
    "$bin/python" -c 'import torch' 2>/dev/null || $pip ${index:+--index-url "$index"} "$requirement"
fi
