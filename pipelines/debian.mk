# Data from Debian's packages PACKAGES, downloaded and unpacked into RAW, not installed; and the
# embedding that needs no network, raw pixels. apt wants fresh lists: asked for only where it fails.
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
PIXELS ?= 32

$(RAW)/.unpacked:
	@mkdir -p $(RAW)
	@echo "fetching $(PACKAGES)"
	cd $(RAW) && { apt-get download -q $(PACKAGES) || \
	  { $(SUDO) apt-get update -q && apt-get download -q $(PACKAGES); }; }
	cd $(RAW) && for package in *.deb; do dpkg -x $$package . && rm -f $$package; done
	touch $@

$(OUT)/raw-pixels/test.emb.zst: $(OUT)/test.mdb | $(BIN)/ps-embed
	@mkdir -p $(@D)
	$(BIN)/ps-embed --raw-pixels $(PIXELS) $< -o $@

$(OUT)/raw-pixels/metrics.tsv: $(OUT)/raw-pixels/test.emb.zst $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) --tag setting=raw-pixels --tag seed=0 $< -o $@
