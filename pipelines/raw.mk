# Data sets that a user already has: RAW=DIR is the folder of the files as downloaded, or unpacked.
# INIT=FILE are the backbone's pretrained weights (anything ps-train --init reads); published numbers
# need them.
# What is in it: its archives with the files beside them, or the unpacked folder itself.
ARCHIVES := $(wildcard $(RAW)/*.tar $(RAW)/*.tgz $(RAW)/*.tar.gz $(RAW)/*.zip)
SOURCES ?= $(or $(if $(ARCHIVES),$(ARCHIVES) $(wildcard $(RAW)/*.mat $(RAW)/*.txt $(RAW)/devkit)),$(RAW))
PREPARE_FLAGS ?=
ifdef INIT
override TRAIN_FLAGS += --init $(INIT)
endif

$(OUT)/manifest.tsv: | $(BIN)/ps-prepare
	$(if $(RAW),,$(error set RAW to the folder of the raw $(DATASET) files))
	@mkdir -p $(@D)
	$(BIN)/ps-prepare $(DATASET) $(SOURCES) $(PREPARE_FLAGS) -o $@
