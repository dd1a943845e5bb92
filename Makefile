# `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help install demo ablation docs test check clean

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
CLIPS ?=
OUTPUT ?= demo$(if $(CLIPS),-$(notdir $(patsubst %/,%,$(CLIPS))))
DATA ?=
SEEDS ?= 3
ARGS ?=

help: ## print this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

install: .venv/.installed ## make .venv from the pinned constraints, with .venv/bin/expnet, and fetch the speech encoder

.venv/.installed: setup.cfg pyproject.toml constraints.txt Makefile
	@test -n "$(PYTHON)" || { echo "expnet needs Python 3.11 or 3.12, and none was found on the PATH; set PYTHON=/path/to/python3.11." >&2; exit 2; }
	@echo "Installing into .venv with $$($(PYTHON) --version) (about 6 GB, a few minutes on a slow line)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
		--editable ".[speech,tensorboard,dev]"
	@# mediapipe asks for the OpenCV build that needs a display library; the headless build is the same code without it.
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
		--no-deps --reinstall opencv-python-headless
	@echo "Fetching the speech encoder that the lips follow best: whisper-tiny.en, of which 13 MB are kept"
	@$(BIN)/expnet assets fetch whisper-tiny.en 2> /dev/null || echo "It could not be fetched, so the lips follow the mel \
	spectrogram alone; everything works, and '$(BIN)/expnet assets fetch whisper-tiny.en' tries again and says what failed."
	@touch $@

demo: install ## the main job end to end, at most 10 minutes on 2 cores; CLIPS=folder for your own videos
	@$(BIN)/python scripts/demo.py --output $(OUTPUT) $(if $(CLIPS),--clips $(CLIPS))

ablation: install ## train every variant and compare them; DATA=STORE [SEEDS=3] [ARGS="trainer.max_steps=400"]
	@test -n "$(DATA)" || { echo "Give the track store to train on, as make ablation DATA=STORE (expnet synthesize makes one)." >&2; exit 2; }
	@$(BIN)/expnet ablate data.store=$(DATA) seeds=$(SEEDS) output=ablation-$(notdir $(patsubst %/,%,$(DATA))) $(ARGS)

docs: install ## build the documentation into docs/_build; a warning is an error
	@$(BIN)/python -m sphinx -W --keep-going -q -j auto -b html docs docs/_build
	@echo docs/_build/index.html

test: install ## every test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --durations 10

check: install ## ruff, format, mypy, the import rules, and the documentation without a warning
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python scripts/lint_imports.py
	@$(MAKE) --no-print-directory docs

clean: ## remove what the commands above made, but not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache docs/_build docs/reference/api demo demo-* runs
