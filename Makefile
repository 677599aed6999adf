# `make demo` and `make test` work on a machine with only Python (3.11 to 3.13), pip and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Which build of torch this is depends on the package index; see "CPU or CUDA" in README.md.
TORCH ?= torch==2.13.0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-cluster install install-dev benchmark oracles docs clean

demo: $(VENV)/.installed
	$(BIN)/oneshot demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m compileall -q src tests  # once, where Python is told not to keep what it compiles
	$(BIN)/pyrefly check --output-format min-text & types=$$!; tests=0; \
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist worksteal || tests=$$?; \
	wait $$types && exit $$tests

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# torch first and alone, so that nothing else chooses its version or build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev,tensorboard]'
	-$(PIP) --editable '.[gym,lm-eval]'  # pycosat, of reasoning-gym, wants a C compiler; their tests are skipped without
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(PIP) --editable '.[bench]'
	touch $@

benchmark: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/step_vs_trl.py --json results/step_vs_trl.json
	$(BIN)/python benchmarks/step_vs_trl.py --shape 20m --json results/step_vs_trl_20m.json
	$(BIN)/python benchmarks/sampler.py --json results/sampler.json
	$(BIN)/python benchmarks/mechanisms.py --json results/mechanisms.json
	$(BIN)/python benchmarks/scaling.py --json results/scaling.json
	$(BIN)/python benchmarks/grading.py --json results/grading.json
	$(BIN)/python benchmarks/graders.py --json results/graders.json

# verl pins older packages than ours, so the oracles live in an environment of their own.
.venv-oracles/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-oracles
	.venv-oracles/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-oracles/bin/python -m pip install --quiet --disable-pip-version-check verl==0.9.1 trl==1.16.0 --editable .
	touch $@

oracles: .venv-oracles/.installed
	.venv-oracles/bin/python benchmarks/oracles.py --json results/oracles.json

# verl's own environment, with this package and without its pins, as an export's install.sh makes it.
.venv-verl/.installed: pyproject.toml $(VENV)/.installed-dev
	$(BIN)/oneshot cluster export grpo --gpus 0 --steps 1 --out .venv-verl/export
	bash .venv-verl/export/install.sh .venv-verl/python
	touch $@

# Half an hour on two cores: GRPO and PPO on verl, killed and gone on with; evaluation on a Ray cluster.
VERL := $(CURDIR)/.venv-verl
test-cluster: .venv-verl/.installed
	$(PIP) --editable '.[ray]'
	rm -rf $(VERL)/work && mkdir $(VERL)/work
	$(VERL)/python/bin/python benchmarks/verl_compose.py --json results/verl_compose.json
	VERL_PYTHON=$(VERL)/python/bin/python VERL_WORK=$(VERL)/work $(BIN)/python -m pytest -m slow tests/test_on_verl.py \
	    tests/test_evaluation.py -k "verl or ray"
	$(BIN)/python benchmarks/on_verl.py --python $(VERL)/python/bin/python --work $(VERL)/work --json results/on_verl.json

docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

clean:
	rm -rf $(VENV) .venv-oracles .venv-verl build dist
