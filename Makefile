# Everything runs in .venv, which is made on first use from whatever python3 >= 3.10 is found. `make` lists the targets.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.10,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 10) and print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
SHOT := examples/shot
DEMO := out/demo
SMOKE := out/smoke
# Accelerate warns about every value that is left unsaid.
LAUNCH := $(BIN)/accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no

.DEFAULT_GOAL := help
.PHONY: help demo test smoke lint format benchmark clean

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: .venv/installed ## Paint the example shot; contact sheet, video and scores in out/demo
	@rm -rf $(DEMO)
	@$(BIN)/opdm-sample --keyframes $(SHOT)/keyframes/* --lines $(SHOT)/lines --output $(DEMO)/opdm-small \
		--contact-sheet $(DEMO)/contact_sheet.png --video $(DEMO)/shot.mp4
	@$(BIN)/python eval/baselines.py --keyframes $(SHOT)/keyframes/* --lines $(SHOT)/lines --output $(DEMO)
	@echo
	@$(BIN)/python eval/evaluate.py --targets $(SHOT)/frames --keyframes $(SHOT)/keyframes/* --metrics psnr ssim \
		--json $(DEMO)/scores.json --predictions opdm-small=$(DEMO)/opdm-small "nearest keyframe=$(DEMO)/nearest" \
		"blend of both=$(DEMO)/blend" "flow on lines=$(DEMO)/flow"
	@echo
	@echo "Look at $(DEMO)/contact_sheet.png and $(DEMO)/shot.mp4; the painted frames are in $(DEMO)/opdm-small/."

test: .venv/installed-dev ## Run the test suite
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

smoke: .venv/installed-dev ## Train four steps of a tiny model on the CPU, resume, paint, score
	@rm -rf $(SMOKE)
	@$(LAUNCH) scripts/train.py smoke --output $(SMOKE)/run --steps 2
	@$(LAUNCH) scripts/train.py smoke --output $(SMOKE)/run --steps 4
	@$(BIN)/opdm-sample --model $(SMOKE)/run/pipeline --keyframes $(SHOT)/keyframes/* --lines $(SHOT)/lines \
		--output $(SMOKE)/painted
	@$(BIN)/python eval/evaluate.py --predictions $(SMOKE)/painted --targets $(SHOT)/frames \
		--keyframes $(SHOT)/keyframes/*

lint: .venv/installed-dev ## Check format, rules and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: .venv/installed-dev ## Reformat and repair what can be repaired
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

benchmark: .venv/installed-dev ## Measure generator, painting and training against naive versions of themselves
	@$(BIN)/python scripts/benchmark.py

clean: ## Remove .venv, out/ and caches; runs/ stays
	rm -rf .venv out dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +

# pip alone decides what is missing; the stamps only spare its start-up. -qq hides its warnings, never its errors.
.venv/installed: pyproject.toml | .venv/bin/pip
	@echo "installing opdm with PyTorch into .venv (a few gigabytes; some minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	@echo "installing opdm with PyTorch and the development tools into .venv (some minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev,train,eval]'
	@touch $@ .venv/installed

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "opdm needs Python 3.10 or newer, and no such python3 was found" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
