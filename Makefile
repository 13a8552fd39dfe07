# Each target does its own set-up: a virtual environment in .venv, made once and kept until what it is made from changes.
PYTHON ?= python3
# The ROS distribution: jazzy, or `make TARGET ROS=kilted`, with an environment of its own, .venv-kilted.
ROS := jazzy
ifeq ($(filter $(ROS),jazzy kilted),)
$(error ROS=$(ROS) is not supported; expected jazzy or kilted)
endif
VENV := $(if $(filter jazzy,$(ROS)),.venv,.venv-$(ROS))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed.stamp

.PHONY: setup test test-busy soak demo demo-full bench lint docs models mutants clean

setup: $(INSTALLED)
	@$(BIN)/python tools/build_messages.py

$(INSTALLED): pyproject.toml constraints.txt constraints-$(ROS).txt setup.py setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $(PYTHON) is older than 3.10; call make PYTHON=/path/to/python3.10-or-newer" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "make: no C compiler (cc); install one (Debian: apt install gcc g++ python3-dev)" >&2; exit 1; }
	@# One that has no rclpy of this distribution, but perhaps of another, is made again.
	{ test -x $(BIN)/python && ls -d $(VENV)/lib/python3*/site-packages/ros_$(ROS)_rclpy-*; } >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev --group ros-$(ROS) -c constraints.txt -c constraints-$(ROS).txt
	$(BIN)/python -m pip install --quiet --no-deps --group aria --group faces -c constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# More processes than cores, since many tests wait; tests of one file stay in one process (test/support/parallel.py).
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

# On a distribution that is not the default, only tests of the nodes, of what starts them and of what talks to them.
TESTS := $(if $(filter-out jazzy,$(ROS)),test/nodes test/launch test/examples test/replay)

test: setup
	$(BIN)/python -m pytest $(PARALLEL) $(TESTS)

# The same beside a program that keeps every core busy: no test may depend on how fast the machine is.
test-busy: setup
	$(BIN)/python tools/beside_load.py $(BIN)/python -m pytest $(PARALLEL)

# Tests that are long by nature, an hour and a half in all; `make soak SOAK_SCALE=0.05` tries them in minutes.
SOAK_SCALE ?= 1
soak: setup
	SOAK_SCALE=$(SOAK_SCALE) $(BIN)/python -m pytest -m soak --timeout 7200 -s

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

# The documentation site. A warning is an error: a broken link, a docstring that does not render, a page in no table of contents.
docs: setup $(VENV)/docs.stamp
	rm -rf docs/api/generated
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo build/docs/index.html

$(VENV)/docs.stamp: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --group docs -c constraints.txt
	@touch $@

# Every architecture that can be built tiny, checked from its attention to its checkpoint.
models: setup
	$(BIN)/python tools/check_models.py

# Do the core's tests notice small changes of its code? 100 of them, the same ones each time; 15 minutes on two cores.
mutants: setup $(VENV)/mutants.stamp
	$(BIN)/python tools/mutants.py

$(VENV)/mutants.stamp: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --group mutants -c constraints.txt
	@touch $@

demo: setup
	$(BIN)/gaze-vlm demo

# Every session over DDS, and the control with shuffled gaze; some 25 minutes.
demo-full: setup
	$(BIN)/gaze-vlm demo --full --out build/demo_full

# Figures of this machine; nothing else should run meanwhile.
bench: setup
	$(BIN)/python benchmark/recorder.py
	$(BIN)/python benchmark/bag_size.py
	$(BIN)/python benchmark/clock_offset.py
	$(BIN)/python benchmark/conversion.py --minutes 1 2
	$(BIN)/python benchmark/regularizer.py
	$(BIN)/python benchmark/prediction.py
	$(BIN)/python benchmark/predictor_node.py

clean:
	rm -rf build install log
