# `make study` runs the main job on the default data, `make test` the tests, `make test-long` those that take an
# hour, `make test-containers` the image and its compose stack (Linux, root, with podman), `make docs` builds the
# documentation, `make relock` locks changed code; all first install what they need.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed
# The Pythons that the whole suite has passed on, by the classifiers of pyproject.toml, and what a Python calls itself:
# CPython-3.13, PyPy-3.11, or CPython-3.13t, which is built without the global lock and finds no wheels of some packages.
KNOWN := $(shell sed -n 's/.*:: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
NAME := -c 'import platform, sys; print(platform.python_implementation() + "-%d.%d" % sys.version_info[:2] \
  + getattr(sys, "abiflags", ""))'
# The environment is made anew if its Python no longer starts, or is another one than PYTHON names.
HAS := $(shell $(VENV)/bin/python $(NAME) 2>/dev/null)
ifneq ($(HAS),$(if $(filter file,$(origin PYTHON)),$(or $(HAS),none),$(shell $(PYTHON) $(NAME) 2>/dev/null)))
.PHONY: $(READY)
ANEW := --clear
endif
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: study test test-long test-containers docs relock clean

study: $(READY)
	@$(VENV)/bin/python studies/latent_dim.py

test: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy musiclab studies
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: $(READY)
	$(VENV)/bin/python -m pytest -m long

test-containers: $(READY)
	$(VENV)/bin/python -m tests.containers

# After a change of code that training, generating or measuring runs: compares its numbers, and writes code.lock.
relock: $(READY)
	$(VENV)/bin/python tests/golden/relock.py

docs: $(READY)
	$(VENV)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

$(READY): pyproject.toml constraints.txt
	@name=$$($(PYTHON) $(NAME) 2>/dev/null); case " $(KNOWN:%=CPython-%) " in *" $${name:-none} "*) ;; *) \
	  echo "error: musiclab is known to run on CPython $(firstword $(KNOWN)) to $(lastword $(KNOWN)), and $(PYTHON)" \
	    "$${name:+is }$${name:-does not start}; name another: $(strip make $(MAKECMDGOALS)) PYTHON=python$(lastword $(KNOWN))" >&2; \
	  exit 2;; esac; \
	$(PYTHON) -m venv $(ANEW) $(VENV) || { echo "error: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu:" \
	  "apt install python$${name#CPython-}-venv" >&2; exit 2; }
	@echo "installing pinned versions into $(VENV); the first time this takes some minutes"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[test]'
# On all cores, where pip would use one. Some packages ship files that are no Python, which nobody imports.
	@$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

clean:
	rm -rf $(VENV)
