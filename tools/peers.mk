# What tests compare with, and the tools of `make lint`: Debian's packages, and in build/venv PyPI's,
# which sees Debian's too.
PEERS := python3-venv python3-numpy python3-pil python3-torch python3-torchvision python3-faiss \
  libopenblas0-pthread zsh
LINTERS := clang clang-format clang-tidy shellcheck mandoc

.PHONY: setup-peers setup-lint
setup-peers:
	@$(MAKE) --no-print-directory setup PACKAGES="$(PEERS)"
	@$(MAKE) --no-print-directory build/venv/installed

build/venv/installed: tests/peer/requirements.txt
	/usr/bin/python3 -m venv --system-site-packages --clear build/venv
	build/venv/bin/python -m pip install --quiet --requirement $<
	@touch $@

setup-lint:
	@$(MAKE) --no-print-directory setup PACKAGES="$(LINTERS)"
