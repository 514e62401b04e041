# make faults   every system call and allocation of every program fails once; 100 kills (hours)
# make tsan     the loader's threads under ThreadSanitizer
FAULTS := $(BUILD)/tests/inject $(BUILD)/tests/failmalloc.so
tests: $(FAULTS)

$(BUILD)/tests/inject: tests/faults/inject.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN_C) -O2 $< -o $@

$(BUILD)/tests/failmalloc.so: tests/faults/failmalloc.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN_C) -O2 -fPIC -shared $< -o $@

.PHONY: faults tsan
tsan:
	$(MAKE) BUILD=build/tsan VARIANT="-fsanitize=thread -O1" build/tsan/tests/loader
	TSAN_OPTIONS=halt_on_error=1 build/tsan/tests/loader

faults: all tests
	@PATH="$(abspath $(BUILD))/bin:$$PATH" BUILD="$(abspath $(BUILD))" tests/faults/run.sh all
