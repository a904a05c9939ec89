#!/bin/sh
# Install the build of PyTorch that this machine can use: install_torch.sh BIN REQUIREMENT [INDEX]
# Where nvidia-smi finds a GPU: a CUDA build, and an error if PyTorch cannot use the card or has no code for it.
# Elsewhere: the CPU build where one is offered.
set -eu
bin=$1 requirement=$2 index=${3:-}
pip="$bin/python -m pip install -q --disable-pip-version-check"
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
    $pip ${index:+--index-url "$index"} "${requirement%%==*}"
    # It may be one that cannot use the card, or that has no code for it, which is not seen before the first window.
    "$bin/python" "$(dirname "$0")/../vda/outlook/kernels.py"
else
    "$bin/python" -c 'import torch' 2>/dev/null || $pip ${index:+--index-url "$index"} "$requirement"
fi
