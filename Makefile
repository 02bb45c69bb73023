# make run    builds everything into .venv and serves the example application
# make test   builds everything and passes the tests
# make bench  compares Tidegate with its peers
PYTHON ?= python3
VENV ?= .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.py' -o -name '*.pxd') setup.py pyproject.toml README.md

.PHONY: run test test-all lint test-compiled test-pure test-pure-plain bench bench-quick reliability soak wheel \
  compat compat-compiled compat-pure conformance testssl fuzz clean

# The CPythons that `make test-all` repeats the suite on, with more examples and the whole of it on both builds: those on the PATH, and pyenv's.
PYTHONS ?= $(wildcard $(foreach v,3.11 3.12 3.13 3.14,$(HOME)/.pyenv/versions/$(v)*/bin/python$(v) /usr/bin/python$(v)))

# With HTTPS=1, over TLS with a certificate from build/dev-cert/ca.pem, which is made where there is none.
run: $(VENV)/.compiled
ifdef HTTPS
	@test -f build/dev-cert/cert.pem || $(BIN)/tidegate dev-cert --dir build/dev-cert
	@$(BIN)/tidegate --ssl-certfile build/dev-cert/cert.pem --ssl-keyfile build/dev-cert/key.pem \
	  --app-dir examples main:app
else
	@$(BIN)/tidegate --app-dir examples main:app
endif

# The linters and the tests of both builds at a time: the tests mostly wait.
test: $(VENV)/.compiled
	$(MAKE) --no-print-directory -j3 --output-sync=line lint test-compiled test-pure

# Each worker begins with a part of the suite in its order, for the modules' fixtures, and ends with what is left.
PYTEST := pytest --numprocesses=2 --dist=worksteal

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group test
	@touch $@

# What a former build left behind would be installed too.
# The package is installed, not linked: src/ stays free of extensions, so PYTHONPATH=src is the pure build.
$(VENV)/.compiled: $(VENV)/.tools $(SOURCES)
	rm -rf build/lib* build/bdist*
	TIDEGATE_EXTENSIONS=require $(BIN)/pip install --quiet --no-build-isolation .
	@touch $@

lint: $(VENV)/.compiled
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

test-compiled: $(VENV)/.compiled
	TIDEGATE_EXTENSIONS=require $(BIN)/python -m $(PYTEST)

test-pure: $(VENV)/.compiled
	$(BIN)/coverage erase
	PYTHONPATH=src TIDEGATE_EXTENSIONS=skip $(BIN)/coverage run -m $(PYTEST) -m 'not once'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='src/tidegate/http/*,src/tidegate/http1/*,src/tidegate/http2/*,src/tidegate/websocket/*' --fail-under=100
	$(BIN)/coverage report --include='src/tidegate/*' --fail-under=95

test-all:
	@test -n "$(PYTHONS)" || { echo "no CPython found: give them as PYTHONS=..."; exit 1; }
	set -e; for python in $(PYTHONS); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "== CPython $$version"; \
	  HYPOTHESIS_PROFILE=thorough $(MAKE) PYTHON=$$python VENV=.venv-$$version test-compiled test-pure-plain; \
	done

test-pure-plain: $(VENV)/.compiled
	PYTHONPATH=src TIDEGATE_EXTENSIONS=skip $(BIN)/python -m $(PYTEST)

# The wheel and the source distribution, each installed where there is nothing else; the latter without a C compiler.
wheel: $(VENV)/.tools
	rm -rf dist build/lib* build/bdist* build/from-wheel build/from-source
	$(BIN)/pip install --quiet twine
	TIDEGATE_EXTENSIONS=require $(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/from-wheel
	build/from-wheel/bin/pip install --quiet dist/*.whl
	cd build && from-wheel/bin/tidegate --version | grep -F '(compiled)'
	$(PYTHON) -m venv build/from-source
	CC=/nonexistent build/from-source/bin/pip install --quiet --no-cache-dir dist/*.tar.gz
	cd build && from-source/bin/tidegate --version | grep -F '(pure Python)'

# Starlette's own suite against tidegate.web, on both builds; it is downloaded into build/.
compat: $(VENV)/.compiled
	$(MAKE) --no-print-directory -j2 --output-sync=line compat-compiled compat-pure

compat-compiled: $(VENV)/.compiled
	XDG_CACHE_HOME=build/compat-compiled TIDEGATE_EXTENSIONS=require \
	  $(BIN)/python tests/compat/starlette_suite.py --at-least 97

compat-pure: $(VENV)/.compiled
	XDG_CACHE_HOME=build/compat-pure PYTHONPATH=src TIDEGATE_EXTENSIONS=skip \
	  $(BIN)/python tests/compat/starlette_suite.py --at-least 97

$(BENCH)/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --requirement $<
	@touch $@

# Tidegate alone, on the Python that PYTHON313 names: shows what its eager start of tasks is worth.
$(BENCH)-313/.compiled: $(SOURCES)
	$(PYTHON313) -m venv $(BENCH)-313
	TIDEGATE_EXTENSIONS=require $(BENCH)-313/bin/pip install --quiet .
	@touch $@

bench: $(VENV)/.compiled $(BENCH)/.installed $(if $(PYTHON313),$(BENCH)-313/.compiled)
	$(BENCH)/bin/python -m benchmarks --write-docs --json .bench/results.json \
		$(if $(PYTHON313),--python $(BENCH)-313/bin/python --label tidegate-3.13)

bench-quick: $(VENV)/.compiled $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks --rounds 1 --seconds 2 --scenarios hello,10k,stream \
		--servers tidegate,uvicorn,granian,h2corn,fastpysgi,floor

# What is lost while workers are replaced, beside the peers: some 15 minutes. Writes docs/reliability.md.
reliability: $(VENV)/.compiled $(BENCH)/.installed
	$(BIN)/python -m benchmarks.reliability --write-docs --peers-python $(BENCH)/bin/python

# Two workers under mixed load: memory and descriptors over time, as docs/soak.svg.
SECONDS ?= 1200
soak: $(VENV)/.compiled
	$(BIN)/python -m benchmarks.reliability.soak --seconds $(SECONDS)

# Seeds are the kept corpus; what is found stays in build/fuzz, and becomes a test.
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.tools
	$(BIN)/pip install --quiet "atheris>=3"
	mkdir -p build/fuzz build/fuzz_http2
	PYTHONPATH=src:. $(BIN)/python tests/fuzz/fuzz_http1.py -max_total_time=$(FUZZ_SECONDS) -max_len=2048 \
	  -timeout=10 -artifact_prefix=build/fuzz/ build/fuzz tests/fuzz/corpus
	PYTHONPATH=src:. $(BIN)/python tests/fuzz/fuzz_http2.py -max_total_time=$(FUZZ_SECONDS) -max_len=2048 \
	  -timeout=10 -artifact_prefix=build/fuzz_http2/ build/fuzz_http2 tests/fuzz/corpus_http2

# testssl.sh (a Debian package of that name) against a server with a certificate of its own CA: some two minutes.
testssl: $(VENV)/.compiled
	$(BIN)/python -m tests.conformance.testssl

# Autobahn's WebSocket cases, all of them, against the compiled and the pure build: some 30 minutes.
conformance: $(VENV)/.compiled
	$(BIN)/python -m tests.conformance.autobahn

clean:
	rm -rf build dist .venv* .bench .coverage* .mypy_cache .ruff_cache .pytest_cache
