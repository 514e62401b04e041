# The packages of Debian and Ubuntu that building, testing and the demo need. Installed ones are not
# touched.
PACKAGES := build-essential pkg-config libvips-dev libjpeg-dev liblmdb-dev libzstd-dev \
  libdnnl-dev libfaiss-dev libblas-dev liblapack-dev libarchive-dev libmatio-dev libjansson-dev \
  libxxhash-dev libprotobuf-c-dev protobuf-c-compiler bats libcmocka-dev mandoc gnuplot-nox \
  zstd jq imagemagick libopenmpi-dev openmpi-bin procps

setup:
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || \
	    missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then echo "setup: all $(words $(PACKAGES)) packages are installed"; exit; fi; \
	echo "setup: installing$$missing"; \
	sudo=; \
	if [ "$$(id -u)" -ne 0 ]; then \
	  if ! command -v sudo >/dev/null; then \
	    echo "setup: this needs root, and there is no sudo; as root, run:" >&2; \
	    echo "  apt-get install --no-install-recommends$$missing" >&2; \
	    exit 1; \
	  fi; \
	  sudo=sudo; \
	fi; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive \
	  apt-get install -q -y --no-install-recommends $$missing
