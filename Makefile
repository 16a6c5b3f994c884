# Each target sets up .venv itself; this needs only make and Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SIMILARITY := .venv/similarity/.ready
PYTEST := $(BIN)/python -m pytest
PURE := tests/pure engine/verify engine/language engine/run/plan.py engine/presets.py engine/run/resources.py models/folders.py \
	models/pllava/layouts.py models/pllava/size.py engine/store engine/decode/frames.py engine/ingest/clips.py \
	engine/generate/ledger.py engine/generate/prompts.py engine/generate/seeds.py engine/train/mixture.py engine/train/backends \
	engine/episodes engine/evaluate/few_shot/curve.py jobs/view.py
export RAY_USAGE_STATS_ENABLED ?= 0

.PHONY: demo ablations icl icl-ablations test test-run test-ray test-rest test-pure test-all all-run all-ray all-rest test-similarity test-native test-vllm test-skypilot chaos bench \
	check format tree base clean

demo: $(READY)            ## render a labelled world, and let a tiny model teach itself the labels
	$(BIN)/starloop demo

ablations: $(READY)       ## the demo, then the loop without rationalization, and plain finetuning; one summary has all three
	$(BIN)/starloop demo --ablations

icl: $(READY)             ## render a narrated world, train with and without context, three seeds each, and draw the curves
	$(BIN)/starloop icl

icl-ablations: $(READY)   ## the same, then without burstiness, without the tail, and without dynamic meaning
	$(BIN)/starloop icl --ablations

# Three processes side by side, the first two with a Ray of their own: the tests that start from one finished run, the others that use
# a Ray, and the rest. Each leaves a core idle where processes wait for each other. The first one takes longest, so it goes first.
# make fails if either does. With make 4.0 or newer the output of each is printed whole, when it ends.
SIDE_BY_SIDE := --no-print-directory -j3 -k $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: $(READY)            ## what a change must pass, in minutes; test-all and chaos prove the rest
	@$(MAKE) $(SIDE_BY_SIDE) test-run test-ray test-rest

test-run: $(READY)        ## of these, the tests that start from a finished run
	$(PYTEST) -m "run and not slow and not similarity"

test-ray: $(READY)        ## of these, the others that use a Ray
	nice $(PYTEST) -m "ray and not run and not slow and not similarity"

test-rest: $(READY)       ## of these, all others
	nice $(PYTEST) -m "not ray and not slow and not similarity"

test-pure: $(READY)       ## of these, the ones that need neither torch nor Ray, and do not wait for anything: seconds
	$(PYTEST) -m "not slow and not waits" $(PURE)

test-all: export HYPOTHESIS_PROFILE = thorough
test-all: $(READY)        ## every test, with more examples from hypothesis: some minutes longer
	@$(MAKE) $(SIDE_BY_SIDE) all-run all-ray all-rest
	@$(MAKE) --no-print-directory test-similarity

all-run: $(READY)
	$(PYTEST) -m "run and not similarity"

all-ray: $(READY)
	nice $(PYTEST) -m "ray and not run and not similarity"

all-rest: $(READY)
	nice $(PYTEST) -m "not ray and not similarity"

test-similarity: $(SIMILARITY)    ## the tests that need sentence-transformers, in an environment of their own
	.venv/similarity/bin/python -m pytest -m similarity tests/engine/test_similarity.py

# Environments of their own, in the user's cache: torchvision and vLLM want other versions of torch and transformers than .venv has.
# What runs there is tested with those versions too.
test-native: $(READY)     ## the tests of other video LLMs than PLLaVA, which need torchvision: minutes, and 6 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py native) -m pytest -m "native and not slow" tests/native

test-vllm: $(READY)       ## the tests of vLLM as the engine: minutes, and 4 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py vllm) -m pytest -m "vllm and not slow" tests/vllm \
		--ignore tests/vllm/test_generator_python.py
	STARLOOP_TEST_VLLM_PYTHON=$$($(BIN)/python tests/environments/build.py vllm) $(PYTEST) tests/vllm/test_generator_python.py

test-skypilot: $(READY)   ## the test that asks SkyPilot itself whether it takes cluster/skypilot: seconds, and 0.5 GB the first time
	STARLOOP_TEST_SKYPILOT_PYTHON=$$($(BIN)/python tests/environments/build.py skypilot) $(PYTEST) tests/cluster/test_launchers.py

chaos: $(READY)           ## kill the loop in every way that we know, and compare its end byte by byte: about 40 minutes
	PYTHONPATH=.:tests $(BIN)/python tests/chaos.py

bench: $(READY)           ## measure verdicts a second, epochs of episodes, encoding, generation, CPU of decoding, memory, and vLLM beside our engine
	PYTHONPATH=. $(BIN)/python tests/bench/verdicts.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/episodes.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/sharing.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/generate.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/decode.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/tolerance.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/memory.py
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py vllm) tests/bench/engines.py

check: $(READY)           ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)          ## correct format and lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tree: $(READY)            ## write docs/tree.md, the list of files
	PYTHONPATH=.:tests $(BIN)/python tests/tree.py > docs/tree.md

base: $(READY)            ## make the shipped tiny base model again: about 30 minutes
	$(BIN)/starloop make-base

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("starloop needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(READY)

# scikit-learn comes with sentence-transformers, and where it is installed transformers imports it: a second in every process that
# loads a model. So it does not go into .venv, but into an environment above it, which finds in .venv what it lacks itself.
$(SIMILARITY): $(READY)
	$(BIN)/python -m venv .venv/similarity
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
		> $$(.venv/similarity/bin/python -c 'import site; print(site.getsitepackages()[0])')/below.pth
	.venv/similarity/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "sentence-transformers>=5"
	@touch $(SIMILARITY)

clean:
	rm -rf runs .venv
