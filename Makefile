# make book   build the book into _build/html          make test       every check
# make lab    open the notebooks in JupyterLab         make notebooks  re-execute and clean the notebooks
# make lite   build JupyterLite alone, into the book   make lock       renew the pins
# make pdf    the book as one PDF (needs Chromium)     make zip        the site in a zip that works from a folder
# make links  ask whether the addresses that the book links to outside still answer (needs the internet)
# make oldest, make newest  the package's tests and the numbers of the notebooks with other versions than the pins
# make clean  remove what was built (not .venv)
# make reference  run the other programs again and compare with the golden tables (reference/README.md)
# make nightly  the properties of any input on 10,000 examples each, other ones every time (an hour)
# make coverage  how much of the package the tests reach, lines and branches; fails below 98 %
# make mutants  change the package in thousands of small ways and count the changes that no test notices (hours)
# make benchmarks  time the package beside FaST-LMM, PyLMM, GEMMA and BOLT-LMM, and with more and more individuals
# make fuzz   give the PLINK reader malformed files for SECONDS=3600 (Linux on x86-64, Python 3.11 to 3.13)
PYTHON ?= python3
BIN := .venv/bin
LITE := .venv-lite
MUTANTS := .venv-mutants
SITE := access book browser contributing faults front links lite pages paper reference supply teeth template
BENCHMARKS := null_model low_rank levels set_levels scan refit approximate blocks pages
FUZZ := .venv-fuzz
SECONDS := 3600
REFERENCE := run_gemma run_fastlmm fastlmm_lines fastlmm_defects run_bolt run_lme4 referee run_pylmm one_snp

# Threads of BLAS that fight for cores, of two workers or with other programs, can slow it down tenfold.
book test nbval nightly oldest newest coverage mutants notebooks reference: export OPENBLAS_NUM_THREADS = 1

# The time that what is built bears is that of the last commit, so that two builds of it are equal.
export SOURCE_DATE_EPOCH := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || date +%s))

.PHONY: book pages lite test nbval nightly oldest newest coverage mutants pdf zip links lab notebooks reference benchmarks \
	fuzz data clean lock

# One make at a time works on _build in a clone: a second waits until the first has ended, however it ends.
ALONE := book pages lite test nbval pdf zip links clean
GOALS := $(or $(MAKECMDGOALS),book)
ifneq ($(if $(LOCKED),,$(filter $(ALONE),$(GOALS))),)
.PHONY: alone $(GOALS)
$(GOALS): alone ;
alone:
	@LOCKED=1 $(if $(shell command -v $(PYTHON)),$(PYTHON) book/alone.py) $(MAKE) --no-print-directory $(GOALS)
else

book: data _build/fresh
	@$(MAKE) --no-print-directory -j2 pages lite
	$(BIN)/python book/sbom.py

pages:
	@test -e _build/succeeded || rm -rf _build/.doctrees  # else Sphinx forgets the warnings that failed the last build
	@rm -f _build/succeeded
	$(BIN)/jupyter-book build . -W --keep-going
	@touch _build/succeeded

lite: _build/html/lite/pypi/all.json

# JupyterLite has an environment of its own: in JupyterLab's, its kernel would show in Lab, where it cannot run.
_build/html/lite/pypi/all.json: $(wildcard lmm_teach/*.py book/*.ipynb reference/*/* benchmarks/results/*) book/lite.py $(LITE)/installed
	$(LITE)/bin/python book/lite.py _build/html/lite
	@touch $@

$(LITE)/installed: requirements-lite.txt requirements.txt
	$(PYTHON) -m venv $(LITE)
	$(LITE)/bin/python -m pip install --quiet --require-hashes -r requirements-lite.txt
	awk '/^[a-z]/ { chosen = /^(comm|ipywidgets|jupyterlab-widgets)==/ } chosen' requirements.txt > $(LITE)/wheels.txt
	$(LITE)/bin/python -m pip download --quiet --no-deps --require-hashes -r $(LITE)/wheels.txt -d $(LITE)/wheels
	@touch $@

test: data
	$(BIN)/ruff check .
	$(BIN)/mypy lmm_teach
	rm -rf _build
	@$(MAKE) --no-print-directory nbval
	@$(MAKE) --no-print-directory book
	$(BIN)/python -m pytest -n auto --dist loadfile tests

# Every notebook run, each printed number held against the committed one; the book is built from the same run.
nbval: data _build/fresh
	NBVAL_KEEPS=$(CURDIR)/_build/.jupyter_cache $(BIN)/python -m pytest -n auto --dist loadfile --nbval book

nightly: .venv/installed
	$(BIN)/python -m pytest -n auto --hypothesis-profile nightly tests/test_any_input.py

# NumPy, SciPy and the like: the oldest that pyproject.toml allows and this Python has wheels of, or the newest there are.
# Matplotlib 3.9 uses what pyparsing warns of since 3.3.
oldest: VERSIONS := --resolution lowest-direct "pyparsing==3.2.*"
oldest newest: data
	$(PYTHON) -m venv --clear .venv-$@
	$(BIN)/uv pip install --quiet --python .venv-$@ --require-hashes -r requirements.txt
	$(BIN)/uv pip install --python .venv-$@ --upgrade --only-binary :all: $(VERSIONS) -r pyproject.toml --extra data --extra scale-out
	PYTHONPATH=$(CURDIR) .venv-$@/bin/python -m pytest -n auto --dist loadfile --nbval book \
		$(filter-out $(SITE:%=tests/test_%.py),$(wildcard tests/test_*.py))

# Without the tests of the book and its pages, which would reach the package too, but check something else.
coverage: data
	$(BIN)/coverage run -m pytest -q $(SITE:%=--ignore=tests/test_%.py) tests
	$(BIN)/coverage report

# The record is renewed; fails if a mutant survives for which it has no reason. MODULES="gls search" for some alone.
mutants: data $(MUTANTS)/installed
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(MUTANTS)/bin/mutmut run $(MODULES:%="lmm_teach.%.*")
	$(MUTANTS)/bin/python tests/mutants.py

# mutmut alone has an environment of its own, which sees the packages of the other one.
$(MUTANTS)/installed: tests/requirements-mutants.txt .venv/installed
	$(PYTHON) -m venv $(MUTANTS)
	$(BIN)/python -c 'import site; print(*site.getsitepackages(), sep="\n")' > $(MUTANTS)/main.pth
	mv $(MUTANTS)/main.pth $$($(MUTANTS)/bin/python -c 'import site; print(site.getsitepackages()[0])')
	$(MUTANTS)/bin/python -m pip install --quiet --require-hashes -r tests/requirements-mutants.txt
	@touch $@

pdf: book
	$(BIN)/python book/pdf.py

zip: book
	$(BIN)/python book/offline.py

links: book
	$(BIN)/python book/links.py

lab: data
	$(BIN)/jupyter lab --notebook-dir=book $(if $(filter 0,$(shell id -u)),--allow-root)

notebooks: data
	$(BIN)/python book/notebooks.py

# Every script runs, even after one has failed.
reference: data
	@failed=; for script in $(REFERENCE); do \
		begun=$$(date +%s); echo "== $$script"; \
		$(BIN)/python reference/$$script.py || failed="$$failed $$script"; \
		echo "   $$(($$(date +%s) - begun)) s"; \
	done; test -z "$$failed" || { echo "drift or failure:$$failed" >&2; exit 1; }

benchmarks: data
	@failed=; for script in $(BENCHMARKS); do \
		echo "== $$script"; $(BIN)/python benchmarks/$$script.py || failed="$$failed $$script"; \
	done; test -z "$$failed" || { echo "targets missed, or programs that disagree:$$failed" >&2; exit 1; }

# Inputs that reached something new are kept, and the first that fails ends it and is written beside them.
fuzz: $(FUZZ)/installed
	@mkdir -p $(FUZZ)/corpus
	PYTHONPATH=.:$$(echo .venv/lib/python*/site-packages) $(FUZZ)/bin/python tests/fuzz_plink.py \
		-max_total_time=$(SECONDS) -len_control=0 -print_final_stats=1 -artifact_prefix=$(FUZZ)/ $(FUZZ)/corpus

$(FUZZ)/installed: tests/requirements-fuzz.txt .venv/installed
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --require-hashes -r tests/requirements-fuzz.txt
	@touch $@

data: .venv/installed
	@$(BIN)/python -m lmm_teach.data

# A cached execution is only as good as the code that ran: start afresh when the package or the pins change.
_build/fresh: $(wildcard lmm_teach/*.py) .venv/installed
	rm -rf _build
	@mkdir -p _build && touch $@

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo '$(PYTHON) is not Python 3.11 or newer with venv (on Debian: apt install python3-venv); choose another: make PYTHON=python3.12' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

lock: .venv/installed
	$(BIN)/uv pip compile --universal --fork-strategy fewest --python-version 3.11 --all-extras --no-annotate --no-header --generate-hashes --upgrade pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --generate-hashes --upgrade --group lite -o requirements-lite.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --generate-hashes --upgrade -c requirements.txt --group mutants -o tests/requirements-mutants.txt

clean:
	rm -rf _build mutants .coverage .pytest_cache .hypothesis .mypy_cache .ruff_cache

endif
