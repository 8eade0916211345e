# Two commands do everything on a fresh machine:  make demo   and   make test
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    ?= runs/demo

.PHONY: demo test install lint types tests clean

demo: $(VENV)/.installed-user
	$(BIN)/kft demo --output $(RUN)

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

install: $(VENV)/.installed-user

# torch first: on a machine without an NVIDIA GPU its CPU build, elsewhere whatever pip would choose.
$(VENV)/.torch:
	@echo "Installing into $(VENV): about two minutes ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python .ci/install_torch.py constraints.txt
	@touch $@

$(VENV)/.installed-user: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev,build-data]"
	@touch $@ $(VENV)/.installed-user

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
