# The main job on a small real data set from Debian: 148 rendered objects, each seen from 16 to 33
# sides (4,549 JPEGs of package freedroidrpg-data, downloaded and unpacked, not installed). 74 objects
# train; the other 74 are never seen in training and judge the embedding.
NAME := demo
SEEDS ?= 1
EXTRA_METRICS = $(OUT)/raw-pixels/metrics.tsv
include common.mk

RAW ?= $(OUT)/raw
PACKAGE := freedroidrpg-data

# apt wants fresh lists; it is asked for them only where the download fails.
$(RAW)/.unpacked:
	@mkdir -p $(RAW)
	@echo "demo: fetching $(PACKAGE) (228 MB)"
	cd $(RAW) && { apt-get download -q $(PACKAGE) || { $(if $(filter-out 0,$(shell id -u)),sudo) \
	  apt-get update -q && apt-get download -q $(PACKAGE); }; }
	cd $(RAW) && dpkg -x $(PACKAGE)_*.deb . && rm -f $(PACKAGE)_*.deb
	touch $@

$(OUT)/manifest.tsv: $(RAW)/.unpacked | $(BIN)/ps-prepare
	$(BIN)/ps-prepare folder "$$(find $(RAW)/usr/share -type d -path '*freedroid*' -name graphics | \
	  sort | sed 1q)" --match 'portrait_*.jpg' --test-classes 0.5 -o $@

$(OUT)/raw-pixels/test.emb.zst: $(OUT)/test.mdb | $(BIN)/ps-embed
	@mkdir -p $(@D)
	$(BIN)/ps-embed --raw-pixels 32 $< -o $@

$(OUT)/raw-pixels/metrics.tsv: $(OUT)/raw-pixels/test.emb.zst $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) --tag setting=raw-pixels --tag seed=0 $< -o $@
