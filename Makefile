# Two commands do everything on a fresh machine:  make demo   and   make test.   `make help` lists all of them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    ?= runs/demo

# Tests that load no model and start no long processes; -k leaves out those that import TRL or transformers.
QUICK := $(addprefix tests/,architecture scoring protocol ground categories certainty stats display data recipes) \
	$(addprefix tests/commands/,test_help.py test_options.py test_recipes_command.py)

.PHONY: demo test quick test-lm-eval-dev attack test-engines install clean help

demo: $(VENV)/.installed-user  ## install, then run the whole method on a small model; the report goes to $(RUN)
	$(BIN)/kft demo --output $(RUN)

test: $(VENV)/.installed-dev  ## install, then ruff, mypy and all tests: what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

quick: $(VENV)/.installed-dev  ## the check while working, under a minute: ruff, mypy and tests without a model
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not model and not slow" -k "not trl and not sftconfig and not tokenise" \
		--durations 0 --durations-min 5 $(QUICK)

LM_EVAL_DEV ?= 0.5.0.dev1
DEV_VENV    ?= .venv-lm-eval-dev

# The release that comes next may change under our feet, so what fails here is shown and blocks nothing.
test-lm-eval-dev:  ## the tests of the lm-eval tasks on its next version, in an environment of its own; blocks nothing
	$(PYTHON) -m venv $(DEV_VENV)
	$(DEV_VENV)/bin/python .ci/install_torch.py constraints.txt
	grep -v "^lm_eval==" constraints.txt > $(DEV_VENV)/constraints.txt
	$(DEV_VENV)/bin/python -m pip install -q --no-compile --disable-pip-version-check -c $(DEV_VENV)/constraints.txt \
		-e ".[dev]" "lm-eval[api]==$(LM_EVAL_DEV)"
	OMP_NUM_THREADS=1 $(DEV_VENV)/bin/python -m pytest tests/harness tests/lm_eval_logs \
		|| echo "lm-eval $(LM_EVAL_DEV): tests failed, see above. That version is not released, and this blocks nothing."

CASES ?= 5000
SEED  ?= 2
KILLS ?= all

attack: $(VENV)/.installed-dev  ## thousands of damaged files, a kill before every file operation: make attack CASES=20000 SEED=7
	KFT_ATTACK_CASES=$(CASES) KFT_ATTACK_SEED=$(SEED) KFT_ATTACK_KILLS=$(KILLS) $(BIN)/python -m pytest \
		tests/attack tests/stage/test_damaged_checkpoints.py

ENGINES ?= .venv-engines

test-engines: $(ENGINES)/.installed  ## run kft on real engines (vLLM and llama.cpp on the CPU), in $(ENGINES): 10 GB, half an hour
	KFT_ENGINES=1 KFT_ENGINES_RECORD=results/engines/engines.json OMP_NUM_THREADS=1 \
		$(ENGINES)/bin/python -m pytest -v -W ignore tests/engines_real
	$(ENGINES)/bin/kft report --results results

$(ENGINES)/.installed: pyproject.toml .ci/install_engines.py
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python .ci/install_torch.py constraints.txt
	$(ENGINES)/bin/python .ci/install_engines.py
	@touch $@

install: $(VENV)/.installed-user  ## install into $(VENV)

# torch first: on a machine without an NVIDIA GPU its CPU build, elsewhere whatever pip would choose.
$(VENV)/.torch:
	@echo "Installing into $(VENV): about two minutes ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python .ci/install_torch.py constraints.txt
	@touch $@

$(VENV)/.installed-user: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e ".[dev,build-data]"
	@touch $@ $(VENV)/.installed-user

clean:  ## remove the environments and the caches of the tools
	rm -rf $(VENV) $(DEV_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1\t/p' Makefile | sed 's|$$(VENV)|$(VENV)|; s|$$(RUN)|$(RUN)|; s|$$(ENGINES)|$(ENGINES)|' | expand -t 26
