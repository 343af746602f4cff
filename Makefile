# `make study` runs the main job on the default data, `make test` the tests, `make test-long` those that take an
# hour, `make docs` builds the documentation, `make relock` locks changed code; all first install what they need.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: study test test-long docs relock clean

study: $(READY)
	@$(VENV)/bin/python studies/latent_dim.py

test: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy musiclab studies
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: $(READY)
	$(VENV)/bin/python -m pytest -m long

# After a change of code that training, generating or measuring runs: compares its numbers, and writes code.lock.
relock: $(READY)
	$(VENV)/bin/python tests/golden/relock.py

docs: $(READY)
	$(VENV)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "error: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "installing pinned versions into $(VENV); the first time this takes some minutes"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV)
