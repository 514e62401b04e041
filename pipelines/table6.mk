# `table6`: the experiment again with the settings of eight losses x {plain, PS}.
.PHONY: table6
table6:
	$(MAKE) -f $(firstword $(MAKEFILE_LIST)) all CONF=settings/table6 OUT=$(OUT)-table6
