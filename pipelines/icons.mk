# Icon themes of Debian: class = what is drawn, instance = a theme's drawing of it. Half of the
# classes train, the other half judge. The themes are downloaded and unpacked, not installed.
NAME := icons
SEEDS ?= 1 2 3
EXTRA_METRICS = $(OUT)/raw-pixels/metrics.tsv
include common.mk

RAW ?= $(OUT)/raw
include debian.mk

$(OUT)/images.done: $(RAW)/.unpacked | $(BIN)/icons
	@mkdir -p $(@D)
	rm -rf $(OUT)/images
	$(BIN)/icons $(RAW)/usr/share/icons $(OUT)/images
	touch $@

$(OUT)/manifest.tsv: $(OUT)/images.done | $(BIN)/ps-prepare
	@mkdir -p $(@D)
	$(BIN)/ps-prepare folder $(OUT)/images --test-classes 0.5 --seed 1 -o $@
