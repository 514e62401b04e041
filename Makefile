# make setup    install the Debian packages this needs (root or sudo)
# make          build everything into build/
# make demo     raw images to a table of metrics, on real data
# make bench    our speed beside that of PyTorch, FAISS and Pillow
# make check    all tests, or those that TESTS="unit cli/pack" names; `make asan check`: sanitized
# make setup-peers  PyTorch, onnxruntime and others, which some tests and `make bench` compare with
# make faults   every system call and allocation of every program fails once (hours)
# make fuzz     fuzz targets into build/fuzz/bin (clang), which tests/fuzz/run.sh build/fuzz/bin runs
# make lint     warnings, clang-tidy, format, scripts, man pages (tools: make setup-lint)
# make cuda     the plugin build/bin/ps-cuda.so for every GPU that nvcc knows (needs nvcc and cuDNN)
# make check-cuda  on a GPU: the CUDA backend against the reference; make bench-cuda: its speed
# make check-hosts   ps-train on two hosts, which are network namespaces (root)
# make check-trixie  builds and tests in a chroot of Debian 13 (root; TRIXIE is its folder)
# make install  PREFIX (/usr/local), LIBDIR and DESTDIR are respected
# make dist     a tarball of what is committed; make deb: Debian packages of it

VERSION := 0.2.0
PREFIX ?= /usr/local

# Packages come first, in a make of their own: all that follows asks them for flags.
SETUP := $(filter setup%,$(MAKECMDGOALS))
REST := $(filter-out setup%,$(MAKECMDGOALS))
ifneq ($(and $(SETUP),$(REST)),)
include tools/setup.mk tools/peers.mk
.PHONY: $(REST)
$(firstword $(REST)): $(SETUP)
	@$(MAKE) --no-print-directory $(REST)
$(wordlist 2,$(words $(REST)),$(REST)): $(firstword $(REST)) ;
else

BUILD ?= build
, := ,
# clang checks the types of functions with a library of C++.
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined \
  $(if $(findstring clang,$(CXX)),-fno-sanitize=function)
ifneq ($(filter asan,$(MAKECMDGOALS)),)
BUILD := build/asan
VARIANT = $(SANITIZE) -fno-omit-frame-pointer -O1
export ASAN_OPTIONS = detect_leaks=1:strict_string_checks=1
export LSAN_OPTIONS = suppressions='$(CURDIR)/tests/lsan.supp':print_suppressions=0
endif

CC = gcc
CXX = g++
ifneq ($(filter fuzz,$(MAKECMDGOALS)),)
BUILD := build/fuzz
CC := clang
CXX := clang++
VARIANT = -fsanitize=fuzzer-no-link $(SANITIZE) -O1
endif
CFLAGS ?= -O3 -g
WARN := -Wall -Wextra -Wshadow -Wno-unknown-pragmas -Wno-pass-failed $(if $(CI),-Werror)
WARN_C := $(WARN) -Wmissing-prototypes -Wstrict-prototypes
PKGS := vips lmdb libzstd libarchive matio jansson libxxhash libjpeg libprotobuf-c
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS))
INCLUDE := -I. -Ilib -I$(BUILD)/gen
# NaN and infinity keep their meaning; errno and traps of the mathematics are not looked at;
# a product and a sum are fused where the source says so.
MATH := -fno-math-errno -fno-trapping-math -ffp-contract=off
# The processor that everything runs on. kernels/cpu is compiled for better ones, too (LEVELS).
MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
BASELINE := $(if $(filter x86_64,$(MACHINE)),-march=x86-64-v2)
# For the shared library; functions are still called and inlined as in a program.
PIC := -fPIC -fno-semantic-interposition
COMMON = $(BASELINE) $(MATH) -fopenmp $(PIC) -DPS_VERSION='"$(VERSION)"' $(INCLUDE) $(VARIANT)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN_C) $(CPPFLAGS) $(CFLAGS) $(COMMON) $(PKG_CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(WARN) $(CPPFLAGS) $(CFLAGS) $(COMMON)
LDLIBS = $(LDFLAGS) -Wl,--as-needed $(FAISS_C) -lfaiss -ldnnl $(PKG_LIBS) -llapack -lblas -fopenmp -lpthread -lm -lstdc++

.DEFAULT_GOAL := all
include kernels/cpu/levels.mk

LIB_SRC := $(filter-out lib/data/blend.c,$(wildcard lib/*/*.c kernels/*.c kernels/ref/*.c))
# Where the system has FAISS's own C library, it is linked and our few functions are left out: the
# shared one, for Debian's static one cannot be a part of our shared library.
FAISS_C := $(if $(wildcard $(foreach d,/usr/lib /usr/lib/$(shell $(CC) -print-multiarch) \
  /usr/local/lib,$d/libfaiss_c.so)),-lfaiss_c)
LIB_CXX := $(filter-out $(if $(FAISS_C),lib/eval/faiss_c.cc),$(wildcard lib/*/*.cc))
# Messages of protocol buffers become C under $(BUILD)/gen.
PROTO := $(wildcard lib/*/*.proto)
GEN := $(PROTO:%.proto=$(BUILD)/gen/%.pb-c.c)
BLAS_OBJ := $(BUILD)/lib/eval/blas_dnnl.o
LIB_OBJ := $(filter-out $(BLAS_OBJ),$(LIB_SRC:%.c=$(BUILD)/%.o)) $(LIB_CXX:%.cc=$(BUILD)/%.o) \
  $(GEN:%.c=%.o) $(LEVEL_OBJ)
TOOLS := $(patsubst tools/%.c,$(BUILD)/bin/%,$(wildcard tools/ps-*.c))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/bin/fuzz-%,$(wildcard tests/fuzz/*.c))
BACKEND_TESTS := $(patsubst tests/backend/%.c,$(BUILD)/tests/%,$(wildcard tests/backend/*.c))
# Programs that only a pipeline needs: built like tools, not installed.
HELPERS := $(patsubst pipelines/%.c,$(BUILD)/bin/%,$(wildcard pipelines/*.c))
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench-%,$(wildcard tests/bench/*.c))
MAN := $(wildcard man/*.[157])
# What --recipe names, beside the programs as make install puts it.
RECIPES := $(patsubst pipelines/%,$(BUILD)/share/proxy-synthesis/%,$(wildcard pipelines/recipes/*.conf))
# Runs of several processes; without MPI there is one.
MPICC ?= mpicc
MPI := $(if $(shell command -v $(MPICC)),$(BUILD)/bin/ps-mpi.so)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all asan fuzz setup demo check lint format bench bench-loader clean tests
all: $(TOOLS) $(HELPERS) $(MPI) $(RECIPES)
asan: all

include tools/setup.mk
include tools/peers.mk
include tools/faults.mk
include tools/install.mk
include tools/release.mk
include kernels/cuda/cuda.mk

# Objects depend on the flags they were made with: a file that changes when they do.
FLAGS := $(BUILD)/flags
$(shell mkdir -p $(BUILD))
$(file >$(FLAGS).new,$(CC) $(CXX) $(ALL_CFLAGS) $(ALL_CXXFLAGS) $(LEVEL_FLAGS))
$(shell cmp -s $(FLAGS).new $(FLAGS) || cp $(FLAGS).new $(FLAGS); rm -f $(FLAGS).new)

$(BUILD)/%.o: %.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.cc $(FLAGS)
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/gen/%.pb-c.c: %.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD)/gen $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(LIB_OBJ): | $(GEN)

$(BUILD)/libps.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# What runs before main (lib/base/processor.c) is referred to by nothing else.
FIRST := $(if $(BASELINE),-Wl$(,)--undefined=ps_processor_check)
$(BUILD)/bin/%: $(BUILD)/tools/%.o $(BUILD)/libps.a
	@mkdir -p $(@D)
	$(CC) $(VARIANT) $(FIRST) $^ $(LDLIBS) -o $@

$(BUILD)/bin/%: $(BUILD)/pipelines/%.o $(BUILD)/libps.a
	@mkdir -p $(@D)
	$(CC) $(VARIANT) $^ $(LDLIBS) -o $@

$(BUILD)/bin/ps-mpi.so: lib/base/mpi/mpi.c lib/base/ranks.h $(FLAGS)
	@mkdir -p $(@D)
	OMPI_CC="$(CC)" MPICH_CC="$(CC)" $(MPICC) $(ALL_CFLAGS) $(LDFLAGS) -shared $< -o $@

$(BUILD)/share/proxy-synthesis/%: pipelines/%
	@mkdir -p $(@D)
	cp $< $@

# gcc 12's vectorizer fails on some of them for arm64.
ifeq ($(MACHINE),aarch64)
$(BUILD)/tests/%.o: VARIANT += -O2
endif
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/libps.a
	@mkdir -p $(@D)
	$(CC) $(VARIANT) $^ $(LDLIBS) -lcmocka -o $@

# These also run on the emulated level: PS_CPU_ISA=emulated.
EMULATED := $(BUILD)/tests/levels.o $(BUILD)/cpu-emulated.o
$(BUILD)/tests/levels.o: kernels/levels.c $(FLAGS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DPS_WITH_EMULATED -MMD -MP -c $< -o $@

$(BUILD)/tests/%: $(BUILD)/tests/backend/%.o $(EMULATED) $(BUILD)/libps.a
	@mkdir -p $(@D)
	$(CC) $(VARIANT) $^ $(LDLIBS) -lcmocka -o $@

# By the compiler of C++, whose sanitizer knows the types of FAISS.
$(BUILD)/bin/fuzz-%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libps.a
	@mkdir -p $(@D)
	$(CXX) $(VARIANT) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

fuzz: $(FUZZ)

$(BUILD)/tests/bench-%: $(BUILD)/tests/bench/%.o $(BUILD)/libps.a
	@mkdir -p $(@D)
	$(CC) $(VARIANT) $^ $(LDLIBS) -o $@

tests: $(UNIT) $(BACKEND_TESTS) $(BENCH)

check: all tests
	@PATH="$(abspath $(BUILD))/bin:$$PATH" BUILD="$(abspath $(BUILD))" tests/run.sh $(TESTS)

# Our speed and our peers' (python3-torch, python3-faiss, python3-pil) in one table, and in
# $(BUILD)/bench.json. BENCH_ARGS=--quick takes a minute, IMAGES=PATH adds the loader,
# BENCH_ARGS="--peer PYTHON" the PyTorch of another Python, --machine prints the table for RESULTS.md.
bench: all tests
	@BUILD="$(abspath $(BUILD))" tests/bench/bench.py $(if $(filter file,$(origin IMAGES)),,\
	  --images $(IMAGES)) $(BENCH_ARGS)

# The loader's speed; IMAGES is a folder or archive of images, PYTHON has Pillow and numpy.
IMAGES ?= shared/data/stanford-cars
bench-loader: all tests
	@PATH="$(abspath $(BUILD))/bin:$$PATH" BUILD="$(abspath $(BUILD))" tests/bench/loader.sh $(IMAGES)

# A relative name, for make knows no targets with a space, and the path to this folder may have one.
FROM_PIPELINES = $(if $(filter /%,$(BUILD)),,../)$(BUILD)
demo: all
	$(MAKE) -C pipelines -f demo.mk BIN=$(FROM_PIPELINES)/bin OUT=$(FROM_PIPELINES)/demo
	@cat $(BUILD)/demo/table.md

lint: $(GEN)
	tests/lint.sh $(if $(SINCE),--since $(SINCE))

format:
	git ls-files --cached --others --exclude-standard "*.c" "*.h" "*.cc" "*.cu" "*.cuh" | xargs clang-format -i

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
endif
