# kernels/cpu once for each instruction-set level (kernels/levels.h), as $(BUILD)/cpu-LEVEL.o: its
# objects in one, in which all names but the backend's table are local. The emulated level is for
# tests: all algorithms, on a machine that lacks AVX-512 and AMX.
LEVELS := $(if $(filter x86_64,$(MACHINE)),v2 v3 v4 amx,generic)
LEVEL_FLAGS_v2 := -march=x86-64-v2
# Fused products round once. Elsewhere only what the source fuses is: v4 and amx give the bytes of
# version 0.1.0.
LEVEL_FLAGS_v3 := -march=x86-64-v3 -ffp-contract=fast
LEVEL_FLAGS_v4 := -march=x86-64-v4
LEVEL_FLAGS_amx := -march=x86-64-v4 -mamx-tile -mamx-bf16
LEVEL_FLAGS_emulated := -march=x86-64-v3 -DCPU_EMULATED=1 -Wno-psabi -O2
LEVEL_SRC := $(wildcard kernels/cpu/*.c kernels/cpu/ops/*.c kernels/cpu/conv/*.c)
LEVEL_SRC_v3 := $(wildcard kernels/cpu/blocked/*.c)
LEVEL_SRC_v4 := $(LEVEL_SRC_v3) $(wildcard kernels/cpu/avx512/*.c)
LEVEL_SRC_amx := $(LEVEL_SRC_v4) $(wildcard kernels/cpu/amx/*.c)
LEVEL_SRC_emulated := $(LEVEL_SRC_amx)
LEVEL_FLAGS := $(foreach level,$(LEVELS),$(LEVEL_FLAGS_$(level)))
# lib/'s hot loops, too, each of which exports a table alone.
LEVEL_OBJ := $(foreach level,$(LEVELS),$(BUILD)/cpu-$(level).o $(BUILD)/$(level)/lib/data/blend.o)
OBJCOPY ?= $(shell $(CC) -print-prog-name=objcopy)

define LEVEL
$$(BUILD)/$(1)/%.o: %.c $$(FLAGS)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(LEVEL_FLAGS_$(1)) -DCPU_LEVEL='"$(1)"' \
	  -DCPU_OPS=ps_backend_cpu_$(1) -DPS_BLEND=ps_blend_$(1) -MMD -MP -c $$< -o $$@

$$(BUILD)/cpu-$(1).o: $$(patsubst %.c,$$(BUILD)/$(1)/%.o,$$(LEVEL_SRC) $$(LEVEL_SRC_$(1)))
	$$(CC) -r -nostdlib $$^ -o $$@.all
	$$(OBJCOPY) --keep-global-symbol=ps_backend_cpu_$(1) $$@.all $$@
	@rm -f $$@.all
endef
$(foreach level,$(LEVELS) emulated,$(eval $(call LEVEL,$(level))))
