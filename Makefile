# `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help install lock demo ablation docs test check clean

PYTHON ?=
TORCH ?=
BIN := .venv/bin
CLIPS ?=
OUTPUT ?= demo$(if $(CLIPS),-$(notdir $(patsubst %/,%,$(CLIPS))))
DATA ?=
SEEDS ?= 3
ARGS ?=

help: ## print this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

install: .venv/.installed ## make .venv from the pinned constraints, fetch face tracker and speech encoder; PYTHON=python3.13 TORCH=cpu

.venv/.installed: setup.cfg pyproject.toml constraints.txt scripts/make_venv.sh Makefile
	@PYTHON="$(PYTHON)" sh scripts/make_venv.sh .venv
	@echo "Installing into .venv with $$($(BIN)/python --version) (about $(if $(TORCH),3,8) GB, a few minutes on a slow line)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
		$(if $(TORCH),--torch-backend $(TORCH)) --editable ".[speech,tensorboard,dev]"
	@$(BIN)/expnet assets fetch face-tracker > /dev/null || echo "No face is tracked until '$(BIN)/expnet assets fetch face-tracker' succeeds."
	@echo "Fetching the speech encoder that the lips follow best: whisper-tiny.en, of which 13 MB are kept"
	@$(BIN)/expnet assets fetch whisper-tiny.en 2> /dev/null || echo "It could not be fetched, so the lips follow the mel \
	spectrogram alone; everything works, and '$(BIN)/expnet assets fetch whisper-tiny.en' tries again and says what failed."
	@touch $@

lock: $(BIN)/uv ## pin the newest versions of all packages, for Python 3.11 to 3.14, in constraints.txt
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-annotate \
		--extra speech --extra tensorboard --extra dev --custom-compile-command "make lock" --output-file constraints.txt setup.cfg

$(BIN)/uv:
	@PYTHON="$(PYTHON)" sh scripts/make_venv.sh .venv

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
