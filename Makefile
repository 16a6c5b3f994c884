# Each target does its own set-up of .venv, from nothing but make and Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export RAY_USAGE_STATS_ENABLED ?= 0

.PHONY: demo ablations icl icl-ablations test test-pure chaos bench check format base clean

demo: $(READY)            ## render a labelled world and let a tiny model teach itself its labels
	$(BIN)/starloop demo

ablations: $(READY)       ## the demo, then the loop without rationalization and plain finetuning, in the same summary
	$(BIN)/starloop demo --ablations

icl: $(READY)             ## render a narrated world, train on its episodes and without context, three seeds each, and draw the curves
	$(BIN)/starloop icl

icl-ablations: $(READY)   ## the same, and without burstiness, without the tail, without dynamic meaning
	$(BIN)/starloop icl --ablations

test: $(READY)            ## all tests
	$(BIN)/python -m pytest

test-pure: $(READY)       ## the tests that need neither torch nor Ray: seconds
	$(BIN)/python -m pytest tests/pure engine/verify engine/language engine/run/plan.py engine/config.py engine/run/resources.py models/folders.py models/pllava/layouts.py models/pllava/size.py engine/store engine/decode/frames.py engine/ingest/clips.py engine/generate/ledger.py engine/generate/prompts.py engine/generate/seeds.py engine/train/mixture.py engine/train/backends engine/episodes engine/evaluate/few_shot/curve.py jobs/view.py

chaos: $(READY)           ## kill the loop in every way we know and compare its end, byte by byte: about 40 minutes
	PYTHONPATH=.:tests $(BIN)/python tests/chaos.py

bench: $(READY)           ## verdicts a second; epochs of episodes; encoding shared by episodes; generation beside the published way; CPU of decoding beside a bare loop; memory of a driver with a million clips
	PYTHONPATH=. $(BIN)/python tests/bench/verdicts.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/episodes.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/sharing.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/generate.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/decode.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/memory.py

check: $(READY)           ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

base: $(READY)            ## make the shipped tiny base model anew, about 30 minutes
	$(BIN)/starloop make-base

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("starloop needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(READY)

clean:
	rm -rf runs .venv
