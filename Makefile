# Everything runs in an environment of its own, .venv, made by the first target that needs it and
# made again only when pyproject.toml changes. PYTHON names the interpreter that it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What has to hold on JAX and PyTorch too: the layers and the sampler, and what is built of them.
LAYER_TESTS := tests/layers tests/sampling tests/test_metrics.py tests/test_ops.py
MODEL_TESTS := tests/models tests/training tests/distribution \
	tests/test_imports.py::test_a_backend_needs_no_other_and_no_optional_package

# Tracing and compiling take one core each. A file stays on one worker, where its models are shared.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test long lint format site clean
.DEFAULT_GOAL := help

help: ## Show the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

demo: $(STAMP) ## Run all three stages on the embedded emoji; pass options by ARGS="...".
	$(BIN)/keras-vqvae2 demo $(ARGS)

test: $(STAMP) ## Run what is quick, on TensorFlow, and of layers and sampler on JAX and PyTorch.
	KERAS_BACKEND=tensorflow $(PYTEST) -m 'not long' $(ARGS)
	KERAS_BACKEND=jax $(PYTEST) -m 'not long' $(LAYER_TESTS) $(ARGS)
	KERAS_BACKEND=torch $(PYTEST) -m 'not long' $(LAYER_TESTS) $(ARGS)

long: $(STAMP) ## Run the rest: whole programs, documents, examples, kills; models on JAX and PyTorch.
	KERAS_BACKEND=tensorflow $(PYTEST) -m long $(ARGS)
	KERAS_BACKEND=jax $(PYTEST) $(MODEL_TESTS) $(ARGS)
	KERAS_BACKEND=torch $(PYTEST) $(MODEL_TESTS) $(ARGS)

lint: $(STAMP) ## Check style, formatting, types and habits that are unsafe.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive keras_vqvae2 examples benchmarks

format: $(STAMP) ## Format the code and sort the imports.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Material says at each build that it is looked after until May 2027; Zensical, its successor, knows no hooks yet.
site: $(STAMP) ## Build the site, guides and reference, into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## Remove the environment and the caches.
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build dist site *.egg-info

# Without a GPU the wheel `tensorflow-cpu` serves as well and is a third of the size, but it has
# another name: the override drops `tensorflow` from every list of requirements. It exists for
# Linux on x86-64 only; elsewhere the plain wheel is a CPU one. Of PyTorch its own index has such
# wheels, under the same name with a higher version: where both have a version, pip takes those.
# uv then finds it installed.
TORCH := torch==2.13.0
TORCH_CPU := --extra-index-url https://download.pytorch.org/whl/cpu --retries 1
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed; name one by PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@set -e; : > $(VENV)/overrides.txt; \
	torch='$(TORCH_CPU)'; \
	if nvidia-smi > /dev/null 2>&1; then wheel='tensorflow[and-cuda]'; torch=''; \
	elif [ "$$(uname -sm)" = "Linux x86_64" ]; then wheel='tensorflow-cpu'; \
		echo 'tensorflow; sys_platform == "never"' > $(VENV)/overrides.txt; \
	else wheel='tensorflow'; fi; \
	echo "Installing with $$wheel"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$torch '$(TORCH)'; \
	$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python --override $(VENV)/overrides.txt \
		--editable '.[test,jax,torch]' "$$wheel>=2.18"
	touch $@
