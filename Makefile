# Every target makes .venv and installs by itself; all it needs is Python 3.11, git and make.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Of `make mlflow`.
RUNS ?= runs
PORT ?= 5000
STAMP := $(VENV)/.installed

.PHONY: help install demo mlflow test test-slow format static-checks clean

help:
	@echo "install        make $(VENV) and install spore-yolo with everything that development needs"
	@echo "demo           the whole way on drawn slides, in under ten minutes on two cores"
	@echo "mlflow         MLflow's pages on the runs in $(RUNS)/, at http://localhost:$(PORT)"
	@echo "test           static checks and the fast tests"
	@echo "test-slow      what is long: trainings at toy scale, faults"
	@echo "format         format the code"
	@echo "static-checks  ruff and mypy"
	@echo "clean          remove $(VENV) and caches"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $(STAMP)

install: $(STAMP)
	@echo "installed; activate it with: source $(VENV)/bin/activate"

demo: $(STAMP)
	$(BIN)/python scripts/demo.py --force

# Without the queues for jobs of language models, which nothing here has.
mlflow: $(STAMP)
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		$(BIN)/mlflow ui --backend-store-uri sqlite:///$(RUNS)/mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

# One process a core, whose threads do not spin while they wait for each other; a file's tests stay together, since they share
# what is costly to make.
PYTEST = OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses auto --dist loadfile --max-worker-restart 0

# A test that wants more memory than there is fails by itself (where the shell can say so), and does not take the others down.
test: static-checks
	ulimit -v 18000000 2>/dev/null; $(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

static-checks: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
