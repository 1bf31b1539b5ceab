# Everything a newcomer needs: `make demo` shows the main job, `make test` proves it. Both set themselves up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
SOURCES := $(shell find connector -name '*.py' -o -name py.typed 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check unit bench docs e2e-test clean faults kills orders across storm sim planted fuzz soak compare autobahn

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(VENV)/.dependencies: pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(PY) -m pip install --quiet --disable-pip-version-check '.[dev]'
	@touch $@

$(VENV)/.package: $(VENV)/.dependencies $(SOURCES) README.md
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	@touch $@

setup: $(VENV)/.package  ## create .venv and install the package into it (not editable: tests meet what users get)

demo: setup  ## simulator, real client, live tree, scripted storm; CAPTURE=file replays a recording
	$(PY) examples/supervision_tree.py $(if $(CAPTURE),--capture $(CAPTURE)) $(DEMO_ARGS)

check: setup  ## ruff, mypy --strict, import contracts, supervision statements, rows of faults without a test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy connector
	cd tests/typing && ../../$(BIN)/mypy --strict --cache-dir ../../.mypy_cache/consumer consumer.py
	$(BIN)/lint-imports
	$(PY) tests/tools/statements.py
	$(PY) tests/tools/faults.py

unit: setup  ## tests alone: random order, warnings are errors
	$(BIN)/pytest -n 3 --dist loadfile

test: check unit  ## everything a change has to pass

bench: setup  ## messages a second and CPU per message, floors in the same run: build/bench.json
	$(PY) tests/benchmarks/run.py

COMPARE_PYTHON ?= $(PYTHON)
PEERS := 'cryptofeed>=2' ccxt python-binance pybit binance-sdk-spot unicorn-binance-websocket-api nautilus_trader

compare: setup  ## other clients from the registry on the same local stub, each in its own process: build/compare.json
	@test -x build/compare/bin/python || $(COMPARE_PYTHON) -m venv build/compare
	build/compare/bin/python -m pip install --quiet --disable-pip-version-check '.[fast]'
	build/compare/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	@for peer in $(PEERS); do build/compare/bin/python -m pip install --quiet --disable-pip-version-check "$$peer" \
		|| echo "$$peer could not be installed here, and the table will say so"; done
	$(PY) tests/compare/run.py --peers build/compare/bin/python $(COMPARE_ARGS)

docs: setup  ## build the documentation into site/
	$(PY) -m pip install --quiet --disable-pip-version-check '.[docs]'
	$(BIN)/mkdocs build --strict

e2e-test: setup  ## the whole client against the simulator, over real sockets; the testnet too where its keys are set
	$(BIN)/pytest tests/system tests/e2e

FAULTS_ARGS ?= --kills 6 --cuts 20 --silences 1 --probes 50 --cycles 30 --only kill --only connection --only quiet --only life

faults: setup  ## kills and cuts at volume, then every row of the fault matrix (ROW=F03: that alone): build/faults.json
	$(if $(ROW),,$(PY) tests/faults/run.py $(FAULTS_ARGS); volume=$$?;) \
	$(PY) tests/faults/matrix.py $(addprefix --row ,$(ROW)) $(MATRIX_ARGS) && exit $${volume:-0}

sim: setup  ## deterministic simulation: SEED=n plays one life again, RUNS=n sweeps in parallel: build/sim.json
	$(PY) tests/faults/sim.py $(if $(SEED),--seed $(SEED),--runs $(or $(RUNS),1000)) $(SIM_ARGS)

kills: setup  ## kill -9 of trading processes, KILLS=500 of them, then the ledger: build/kills.json
	$(PY) tests/faults/kill_nine.py --kills $(or $(KILLS),500) $(KILLS_ARGS)

orders: setup  ## ORDERS=100000 orders with every fault, against the far side's ledger: build/orders.json
	$(PY) tests/faults/orders.py --orders $(or $(ORDERS),100000) $(ORDERS_ARGS)

across: setup  ## ten minutes of consolidated books of each LAYOUT, equal to the merge of the simulators' own at every step
	$(PY) tests/faults/consolidated.py --minutes $(or $(MINUTES),10) --layout $(or $(LAYOUT),all)

storm: setup  ## one of two venues in a crash storm: what the other loses, and how late it gets
	$(PY) tests/faults/two_venues.py

planted: setup  ## known mistakes in a copy, one at a time: do the tests notice? JOBS=2 side by side: build/planted.json
	$(PY) tests/planted/run.py --jobs $(or $(JOBS),1) $(PLANTED_ARGS)

fuzz: setup  ## every reader of bytes, spoilt MUTATIONS=1000000 times: build/fuzz.json
	$(PY) tests/fuzz/run.py --mutations $(or $(MUTATIONS),1000000) $(FUZZ_ARGS)

soak: setup  ## HOURS=1 of everything with random faults: nothing may grow, nothing be untrue: build/soak.json, build/soak.svg
	$(PY) tests/faults/soak.py --hours $(or $(HOURS),1) $(SOAK_ARGS)

autobahn: setup  ## both links against the Autobahn|Testsuite, ws and wss: WSTEST=path/to/wstest (needs Python 2.7)
	$(PY) tests/compare/autobahn.py --wstest $(WSTEST) --tls --page docs/reference/autobahn.md

clean:  ## remove everything the other targets made
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
