# The Debian packages that building, testing and the demo need. Installed ones are not touched.
PACKAGES := build-essential pkg-config libvips-dev libjpeg62-turbo-dev liblmdb-dev libzstd-dev \
  libdnnl-dev libfaiss-dev libblas-dev liblapack-dev libarchive-dev libmatio-dev libjansson-dev \
  libxxhash-dev libprotobuf-c-dev protobuf-c-compiler bats libcmocka-dev mandoc gnuplot-nox \
  zstd jq imagemagick

SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)
missing = $(shell dpkg-query -W -f='$${Package} $${db:Status-Status}\n' $(PACKAGES) 2>/dev/null | \
  awk '$$2=="installed" {print $$1}' | sort | comm -13 - \
  <(printf '%s\n' $(PACKAGES) | sort))

setup: SHELL := /bin/bash
setup:
	@if [ -n "$(missing)" ]; then \
	  echo "installing: $(missing)"; \
	  $(SUDO) apt-get update -q && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(missing); \
	else echo "setup: all $(words $(PACKAGES)) packages are installed"; fi
