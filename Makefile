# What people type. `make check` is what CI runs.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
MODEL ?= auto
DEVICES ?= auto
# Minutes for each parser that is fuzzed.
TIME ?= 10
TORCH = torch==2.13.0
SAMPLE = data/sample.mp4
# As they were typed: make would expand a dollar in a name, and the shell what make puts between its quotes.
unexport VIDEO SCENE TRACKS
export ASKED_VIDEO := $(value VIDEO)
export ASKED_SCENE := $(value SCENE)
export ASKED_TRACKS := $(value TRACKS)

.PHONY: help setup depth enrich test test-fast check format lint types docs package bench bench-picture gpu bench-joining tables slow cluster chaos cuts fuzz mini monitor clean
.DEFAULT_GOAL := help

help:
	@echo "make depth VIDEO=film.mp4    from a video to depth, in data/film"
	@echo "make test                    the tests"
	@echo "make test-fast               the quicker ones"
	@echo "make docs                    the manual as web pages, in build/manual"
	@echo "Others: setup enrich check format lint types package bench bench-picture gpu bench-joining tables slow cluster chaos cuts fuzz mini monitor clean"

setup: $(VENV)/.ready

$(VENV)/.ready: setup.cfg pyproject.toml constraints.txt tools/install_torch.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sh tools/install_torch.sh $(BIN) "$(TORCH)" "$(TORCH_INDEX)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-test
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

depth: setup
	@test -n "$$ASKED_VIDEO" || { echo "Say which video: make depth VIDEO=path/to/video.mp4 (there is a sample: VIDEO=$(SAMPLE))"; exit 2; }
	$(BIN)/vda depth $(if $(value SCENE),--scene="$$ASKED_SCENE") --model $(MODEL) --devices $(DEVICES) $(ARGS) -- "$$ASKED_VIDEO"

enrich: setup
	@test -n "$$ASKED_SCENE" -a -n "$$ASKED_TRACKS" || { echo "Say which: make enrich SCENE=data/film TRACKS=tracks.json"; exit 2; }
	$(BIN)/vda enrich --tracks="$$ASKED_TRACKS" --output="$$ASKED_SCENE/tracks_3d.json" $(ARGS) -- "$$ASKED_SCENE"

monitor: setup
	$(BIN)/vda monitor $(ARGS) $(if $(value SCENE),-- "$$ASKED_SCENE")

# File by file in the order of tests/conftest.py.
BY_FILE = -n auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/.ready-test
	$(BIN)/pytest $(BY_FILE) $(ARGS)

test-fast: $(VENV)/.ready-test
	$(BIN)/pytest $(BY_FILE) -m "not whole" $(ARGS)

slow: $(VENV)/.ready-test
	VDA_SLOW_TESTS=1 $(BIN)/pytest $(ARGS)

# Programs by the hundred are started, which takes two cores all the time, and more processes than these are for what
# waits: for limits to be reached, for silent nodes to be given up. Each process has a SLURM of its own.
# A test that waits for ever ends with what its threads were doing, and fails.
cluster: $(VENV)/.ready-test
	$(BIN)/pytest -m cluster -n 4 --dist loadfile -rs -o faulthandler_timeout=400 -o faulthandler_exit_on_timeout=true \
		tests/cluster $(ARGS)

chaos: $(VENV)/.ready-test
	cd tests && $(abspath $(BIN))/python chaos.py --kills 500 $(ARGS)

cuts: $(VENV)/.ready-test
	cd tests && $(abspath $(BIN))/python any_video.py --ranges 500 --cuts 200 $(ARGS)

fuzz: $(VENV)/.ready-test
	cd tests && PYTHONPATH=.. $(abspath $(BIN))/python fuzz.py --minutes $(TIME) $(ARGS)

format: $(VENV)/.ready-test
	$(BIN)/ruff format .

lint: $(VENV)/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.ready-test
	$(BIN)/mypy

# Warnings are errors: links and anchors that lead nowhere, pages that the menu lacks.
docs: $(VENV)/.ready-docs
	$(BIN)/python tools/manual.py

check: lint types docs test

package: $(VENV)/.ready-dev
	sh tools/try_package.sh $(abspath $(BIN))/python "$(TORCH)" "$(TORCH_INDEX)"

# Whatever Python has PyTorch: a machine with a GPU that is lent for an hour has nothing else.
gpu:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m bench.gpu $(ARGS)

bench: $(VENV)/.ready-test
	$(BIN)/python -m bench --keep $(ARGS); missed=$$?; $(BIN)/python -m bench.picture && exit $$missed

# The picture alone, of figures that are kept.
bench-picture: $(VENV)/.ready-test
	$(BIN)/python -m bench.picture

bench-joining: $(VENV)/.ready-test
	$(BIN)/python -m bench.joining --write $(ARGS)

tables: $(VENV)/.ready-test
	VDA_WRITE_TABLES=1 $(BIN)/python -m pytest -q tests/test_export_matrix.py

mini: $(VENV)/.ready-test
	$(BIN)/python -m vda.training $(ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
