# Cross-validation as in "A Metric Learning Reality Check" (Musgrave et al., 2020): the training
# classes are divided into FOLDS parts, and each part in turn chooses the best model of a network
# trained on the others. The test classes judge these models separately (mean over the folds) and
# with their embeddings side by side. Every experiment has it (common.mk includes this file):
#
#   make -f cars-lite.mk RAW=DIR folds SEEDS="1 2 3" TRAIN_FLAGS="--dim 128"
#
# Variables: FOLDS, FOLD_MODEL (the model that is chosen), and those of common.mk. The table is
# OUT/folds/table.md, with a row of each setting's separate models and one of their concatenation.

FOLDS ?= 4
FOLD_MODEL ?= best-map@r

FOLD_SETS := $(RUNS:%=$(OUT)/folds/%)
FOLD_NUMBERS := $(shell seq $(FOLDS))
FOLD_RUNS := $(foreach set,$(FOLD_SETS),$(FOLD_NUMBERS:%=$(set)/fold%))
FOLD_METRICS := $(FOLD_SETS:%=%/separate.tsv) $(FOLD_SETS:%=%/concatenated.tsv)
$(eval $(call record,folds,$(FOLDS) $(RUNS)))

.PHONY: folds
folds: $(OUT)/folds/table.md
	@cat $<

# OUT/folds/SETTING/seedN/foldI
run_of = $(patsubst %/,%,$(dir $(1)))
seed_of = $(patsubst seed%,%,$(notdir $(1)))
tags_of = --tag seed=$(call seed_of,$(1)) --tag "setting=$(notdir $(call run_of,$(1))) $(2)"
embeddings_of = $(addsuffix /test.emb.zst,$(addprefix $(1)/fold,$(FOLD_NUMBERS)))

$(FOLD_RUNS:%=%/last.safetensors): $(OUT)/folds/%/last.safetensors: \
    $(CONF)/$$(firstword $$(subst /, ,$$*)).conf $(OUT)/train.options $(OUT)/folds.options \
    $(OUT)/$(TRAIN_SPLIT).mdb | $(BIN)/ps-train
	$(strip $(LAUNCH) $(BIN)/ps-train) --config $< --data $(OUT)/$(TRAIN_SPLIT).mdb -o $(@D) --restart $(TRAIN_FLAGS) \
	  --seed $(call seed_of,$(call run_of,$(@D))) --folds $(FOLDS) --fold $(patsubst fold%,%,$(notdir $(@D)))
	@touch $@

$(FOLD_RUNS:%=%/test.emb.zst): %/test.emb.zst: %/last.safetensors $(OUT)/$(TEST_SPLIT).mdb | $(BIN)/ps-embed
	$(BIN)/ps-embed -m $(@D)/$(FOLD_MODEL).safetensors $(OUT)/$(TEST_SPLIT).mdb -o $@

$(FOLD_SETS:%=%/separate.tsv): %/separate.tsv: $$(call embeddings_of,$$*) $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) $(call tags_of,$(@D),separate) $(filter %.zst,$^) | awk -f mean.awk >$@

$(FOLD_SETS:%=%/concatenated.tsv): %/concatenated.tsv: $$(call embeddings_of,$$*) $(OUT)/eval.options | $(BIN)/ps-eval
	$(BIN)/ps-eval $(EVAL_FLAGS) $(call tags_of,$(@D),concatenated) --ensemble join $(filter %.zst,$^) -o $@

$(OUT)/folds/table.md: $(FOLD_METRICS) $(OUT)/folds.options | $(BIN)/ps-table
	$(BIN)/ps-table --metrics recall@1,rp,map@r $(FOLD_METRICS) -o $@
