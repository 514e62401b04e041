# The experiment again with eight losses, each with and without Proxy Synthesis: `table6` as in the paper, and
# `table6-tuned` with the values that each loss's own paper, or a comparison of all, found for CARS196.
TABLES := table6 table6-tuned
.PHONY: $(TABLES)
$(TABLES):
	$(MAKE) -f $(firstword $(MAKEFILE_LIST)) all CONF=settings/$@ OUT=$(OUT)-$@
