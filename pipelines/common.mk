# What every experiment shares: manifest -> shards -> runs -> embeddings -> metrics -> table.
#
# An experiment sets NAME and the rule for $(OUT)/manifest.tsv, and includes this file. Each file
# SETTING.conf in CONF (settings/NAME) is a configuration of ps-train, run with each seed of SEEDS.
#
#   make -f demo.mk                  the table
#   make -f demo.mk SEEDS="1 2 3"    more seeds; only the new ones are run
#   make -f demo.mk provenance       which files and settings the table came from
#   make -n -f demo.mk               what would be done
#
# One run uses all processors. Several at once (-j) should share them out, for threads of different
# runs that wait for each other are slow: make -j2 TRAIN_FLAGS="--threads 1" on two processors.
#
# Variables: SEEDS, SETTINGS (names), OUT (folder of results), BIN (folder of the programs),
# TRAIN_FLAGS (added to every ps-train, win over the settings), EVAL_FLAGS (of ps-eval), LAUNCH (what
# starts ps-train on several ranks: "mpirun -n 4").

BIN ?= ../build/bin
OUT ?= ../build/$(NAME)
SEEDS ?= 1
CONF ?= settings/$(NAME)
# All there are, each with Proxy Synthesis after the one without.
NAMES := $(basename $(notdir $(sort $(wildcard $(CONF)/*.conf))))
SETTINGS ?= $(foreach s,$(filter-out ps-%,$(NAMES)),$(s) $(filter ps-$(s),$(NAMES))) \
  $(filter-out $(NAMES:%=ps-%),$(filter ps-%,$(NAMES)))
PACK_FLAGS ?=
TRAIN_FLAGS ?=
EVAL_FLAGS ?=
LAUNCH ?=
# The file of a run that is embedded: "last", or "best-recall@1" chosen on the evaluation shard.
MODEL ?= last
TRAIN_SPLIT ?= train
TEST_SPLIT ?= test

RUNS := $(foreach setting,$(SETTINGS),$(foreach seed,$(SEEDS),$(setting)/seed$(seed)))
METRICS := $(RUNS:%=$(OUT)/%/metrics.tsv) $(EXTRA_METRICS)

.DELETE_ON_ERROR:
.SECONDEXPANSION:
.PHONY: all provenance FORCE
.DEFAULT_GOAL := all

all: $(OUT)/table.md $(OUT)/report.html

$(OUT)/%.mdb: $(OUT)/manifest.tsv | $(BIN)/ps-pack
	$(BIN)/ps-pack -s $* $(PACK_FLAGS) $< -o $@

# The options of a step live in a file that is written only when they change.
define record
$(OUT)/$(1).options: $(shell printf '%s\n' '$(2)' | cmp -s - '$(OUT)/$(1).options' || echo FORCE)
	@mkdir -p $$(@D)
	printf '%s\n' '$(2)' >$$@
endef
$(eval $(call record,train,$(TRAIN_FLAGS)))
$(eval $(call record,eval,$(EVAL_FLAGS)))
$(eval $(call record,runs,$(RUNS)))

# A run that was interrupted goes on, and one that is finished stays as it is. ps-train compares what
# the settings and data are, not how old their files are: where they changed it starts anew, and
# keeps the old run in previous-N.
$(RUNS:%=$(OUT)/%/last.safetensors): $(OUT)/%/last.safetensors: $(CONF)/$$(*D).conf \
    $(OUT)/train.options $(OUT)/$(TRAIN_SPLIT).mdb $(OUT)/$(TEST_SPLIT).mdb | $(BIN)/ps-train
	$(strip $(LAUNCH) $(BIN)/ps-train) --config $< --data $(OUT)/$(TRAIN_SPLIT).mdb --eval $(OUT)/$(TEST_SPLIT).mdb \
	  -o $(@D) --seed $(patsubst seed%,%,$(*F)) --restart $(TRAIN_FLAGS)
	@touch $@

$(RUNS:%=$(OUT)/%/test.emb.zst): $(OUT)/%/test.emb.zst: $(OUT)/%/last.safetensors $(OUT)/$(TEST_SPLIT).mdb | $(BIN)/ps-embed
	$(BIN)/ps-embed -m $(@D)/$(MODEL).safetensors $(OUT)/$(TEST_SPLIT).mdb -o $@

$(RUNS:%=$(OUT)/%/metrics.tsv): $(OUT)/%/metrics.tsv: $(OUT)/%/test.emb.zst $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) --tag setting=$(*D) --tag seed=$(patsubst seed%,%,$(*F)) $< -o $@

# Means of every setting; with several seeds also each run, and the differences, seed by seed, of
# each pair SETTING and ps-SETTING, or of all settings from BASELINE where there are no pairs.
PAIRED := $(foreach s,$(SETTINGS),$(if $(filter ps-$(s),$(SETTINGS)),$(s)))
BASELINE ?= $(firstword $(filter-out ps-% untrained,$(SETTINGS)))
metrics_of = $(foreach setting,$(1),$(foreach seed,$(SEEDS),$(OUT)/$(setting)/seed$(seed)/metrics.tsv))
compare = $(BIN)/ps-table --compare $(1) --metrics recall@1,rp,map@r $(call metrics_of,$(2))

$(OUT)/means.md: $(METRICS) $(OUT)/runs.options | $(BIN)/ps-table
	$(BIN)/ps-table --layout summary $(METRICS) -o $@

$(OUT)/seeds.md: $(RUNS:%=$(OUT)/%/metrics.tsv) $(OUT)/runs.options | $(BIN)/ps-table
	{ $(if $(PAIRED),$(foreach s,$(PAIRED),$(call compare,$(s),$(s) ps-$(s)) && echo &&) :,$(call \
	  compare,$(BASELINE),$(SETTINGS))); } >$@

$(OUT)/table.md: $(OUT)/means.md $(if $(word 2,$(SEEDS)),$(OUT)/seeds.md)
	for part in $^; do cat $$part; echo; done >$@

# Pictures: curves of all runs that train, and what the last of them finds near its hardest queries.
TRAINED := $(filter-out untrained/%,$(RUNS))
CURVES := $(TRAINED:%=$(OUT)/%)
SHOWN := $(OUT)/$(lastword $(TRAINED))

$(OUT)/%.svg: $(RUNS:%=$(OUT)/%/last.safetensors) $(OUT)/runs.options | $(BIN)/ps-view
	$(BIN)/ps-view curves $(CURVES) --metric $* -o $@

$(OUT)/hardest-queries.svg: $(SHOWN)/test.emb.zst $(OUT)/$(TEST_SPLIT).mdb | $(BIN)/ps-view
	$(BIN)/ps-view neighbours $< --shard $(OUT)/$(TEST_SPLIT).mdb -o $@

$(OUT)/map.svg: $(SHOWN)/test.emb.zst $(OUT)/$(TEST_SPLIT).mdb | $(BIN)/ps-view
	$(BIN)/ps-view map $< --shard $(OUT)/$(TEST_SPLIT).mdb -o $@

$(OUT)/similarities.svg: $(SHOWN)/test.emb.zst | $(BIN)/ps-view
	$(BIN)/ps-view histogram $< -o $@

$(OUT)/report.html: $(OUT)/table.md $(OUT)/loss.svg $(OUT)/map@r.svg $(OUT)/hardest-queries.svg \
    $(OUT)/map.svg $(OUT)/similarities.svg | $(BIN)/ps-view
	$(BIN)/ps-view report $^ --title "$(NAME)" -o $@
	@echo "table: $<, pictures: $@"

include sweep.mk
include folds.mk

$(BIN)/%:
	$(error $@ is missing: run make in the top folder first)

# From the table back to the images: each row's embedding file names its model and shard, the model
# its settings, shard and manifest, the shard its manifest, whose rows hold a hash for each image.
provenance: $(OUT)/table.md
	@for file in $(METRICS); do echo "== $${file#$(OUT)/}"; sed -n 's/^# /  /p' "$$file"; done
	@for run in $(RUNS); do echo "== $$run/$(MODEL).safetensors"; \
	  $(BIN)/ps-weights show $(OUT)/$$run/$(MODEL).safetensors | sed -n \
	    -e '/^# class_names/d' -e 's/^# /  /p'; done
	@for shard in $(TRAIN_SPLIT) $(TEST_SPLIT); do echo "== $$shard.mdb"; \
	  $(BIN)/ps-pack --list $(OUT)/$$shard.mdb | sed -n -e 's/^# /  /p' -e '/^record/q'; done
	@echo "== manifest.tsv"; $(BIN)/ps-prepare --summary $(OUT)/manifest.tsv | sed -n 's/^# /  /p'; \
	  sed -n 's/^# /  /p' $(OUT)/manifest.tsv
	@echo "== raw images"; printf '  %s images, each with its hash in the manifest\n' \
	  "$$(grep -vc -e '^#' -e '^path' $(OUT)/manifest.tsv)"
