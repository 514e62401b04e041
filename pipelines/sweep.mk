# A random search for a recipe, judged on training classes that are held out, never on the test
# classes. Every experiment has it (common.mk includes this file):
#
#   make -f cars-lite.mk RAW=DIR sweep               trial 0 is the setting SWEEP as it is
#   make -f cars-lite.mk RAW=DIR sweep TRIALS=24     goes on from the trials that are done
#
# Variables: SWEEP (the setting that is varied), SPACE (what is varied: option and values, see
# draw.sh), TRIALS (the budget), SWEEP_FLAGS (added to ps-train, win over the settings), JUDGE (the
# metric). In OUT/sweep: table.tsv, best trial first, and winner.conf.

SWEEP ?= $(BASELINE)
SPACE ?= $(CONF)/sweep.tsv
TRIALS ?= 12
SWEEP_FLAGS ?= --val-classes 0.25
JUDGE ?= map@r

TRIAL_RUNS := $(foreach trial,$(shell seq 0 $(TRIALS)),$(OUT)/sweep/trial$(trial))
$(eval $(call record,sweep,$(SWEEP_FLAGS)))
$(eval $(call record,trials,$(TRIALS) $(JUDGE)))

.PHONY: sweep
sweep: $(OUT)/sweep/winner.conf $(OUT)/sweep/$(JUDGE).svg
	@cat $(OUT)/sweep/table.tsv
	@echo "recipe: $<, picture: $(word 2,$^)"

$(TRIAL_RUNS:%=%.conf): $(OUT)/sweep/trial%.conf: draw.sh $(CONF)/$(SWEEP).conf $(SPACE)
	@mkdir -p $(@D)
	./draw.sh $(CONF)/$(SWEEP).conf $(SPACE) $* >$@

$(TRIAL_RUNS:%=%/last.safetensors): %/last.safetensors: %.conf $(OUT)/sweep.options \
    $(OUT)/$(TRAIN_SPLIT).mdb | $(BIN)/ps-train
	$(strip $(LAUNCH) $(BIN)/ps-train) --config $< --data $(OUT)/$(TRAIN_SPLIT).mdb -o $(@D) --seed 1 --restart \
	  $(TRAIN_FLAGS) $(SWEEP_FLAGS)
	@touch $@

$(OUT)/sweep/table.tsv: ranking.sh $(TRIAL_RUNS:%=%/last.safetensors) $(OUT)/trials.options
	./ranking.sh $(SPACE) $(JUDGE) $(TRIAL_RUNS) >$@

$(OUT)/sweep/winner.conf: $(OUT)/sweep/table.tsv
	cp $(OUT)/sweep/trial"$$(awk 'NR == 2 { print $$1 }' $<)".conf $@

$(OUT)/sweep/$(JUDGE).svg: $(TRIAL_RUNS:%=%/last.safetensors) $(OUT)/trials.options | $(BIN)/ps-view
	$(BIN)/ps-view curves $(TRIAL_RUNS) --metric $(JUDGE) -o $@
