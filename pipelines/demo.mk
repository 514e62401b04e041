# The main job on a small real data set from Debian: 148 rendered objects, each seen from 16 to 33
# sides (4,549 JPEGs). 74 objects train; the other 74 are never seen in training and judge.
NAME := demo
EXTRA_METRICS = $(OUT)/raw-pixels/metrics.tsv
include common.mk

RAW ?= $(OUT)/raw
include debian.mk

$(OUT)/manifest.tsv: $(RAW)/.unpacked | $(BIN)/ps-prepare
	@mkdir -p $(@D)
	$(BIN)/ps-prepare folder "$$(find $(RAW)/usr/share -type d -path '*freedroid*' -name graphics | \
	  sort | sed 1q)" --match 'portrait_*.jpg' --test-classes 0.5 -o $@
