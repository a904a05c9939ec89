#!/bin/sh
# Lint what runs elsewhere, build the sdist and the wheel, and try these outside the checkout: try_package.sh PYTHON TORCH [INDEX]
# The wheel goes into a new environment without the constraints, as a user's does: whatever is newest there must fit.
set -eu
python=$1 torch=$2 index=${3:-}
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
PATH=$(dirname "$python"):$PATH
pip="$place/venv/bin/python -m pip install -q --disable-pip-version-check"

hadolint "$root/runners/Dockerfile"
check-jsonschema --builtin-schema vendor.github-workflows "$root"/.github/workflows/*.yml

"$python" -m build -o "$place/dist" "$root" >"$place/build.log" 2>&1 || { cat "$place/build.log" >&2; exit 1; }
"$python" -m twine check --strict "$place"/dist/*
wheel=$(ls "$place"/dist/*.whl)

cd "$place"
"$python" -m venv venv
sh "$root/tools/install_torch.sh" venv/bin "$torch" "$index"
$pip "$wheel"
venv/bin/python -m pip check
venv/bin/vda --version
cp "$root/data/sample.mp4" .
venv/bin/vda depth sample.mp4 --frames 0:6 --model mini
test "$(ls data/sample/vda_merged_depth/depth_*.png | wc -l)" = 6

$pip "$wheel[test]"
mkdir sdist
tar -xzf dist/*.tar.gz -C sdist --strip-components 1
cd sdist
../venv/bin/pytest -n auto --dist loadfile -m "not whole"
