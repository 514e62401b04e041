# The CUDA backend three times: by nvcc, for every architecture from sm_75 up that it knows, as the
# plugin bin/ps-cuda.so; by the host compiler on a stand-in for the GPU (tests/cuda-emu/standin.h) as
# tests/ps-cuda.so; and its kernels alone with the sanitizers (tests/backend/cuda_kernels.c).
NVCC ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
CUDA_SRC := $(wildcard kernels/cuda/*.cu)
CUDA_ARCHS ?= $(shell $(NVCC) --list-gpu-code | sed -n 's/^sm_//p' | sort -n | awk '$$1 >= 75')
CUDA_GENCODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a,code=sm_$a) \
  -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS))
CUDA_FLAGS = -std=c++17 -O3 -Werror all-warnings -Xcompiler -fPIC,-Wall,-Wextra,-Werror -I.
CUDA_HOST := kernels/choices.c kernels/node_check.c $(wildcard kernels/cuda/*.c)
CUDA_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN_C) -Werror $(CFLAGS) -fPIC -fvisibility=hidden \
  -I. -isystem $(CUDA_HOME)/include
CUDA_LIBS = -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -lcudnn -lcublas -lcudart
EMU_FLAGS := -std=c++17 -O1 -g $(WARN) -Werror -I. -Itests/cuda-emu
EMU_SANITIZE = $(SANITIZE)
EMU_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/cuda-emu/%.o) \
  $(patsubst tests/%.cc,$(BUILD)/%.o,$(wildcard tests/cuda-emu/*.cc))

STANDIN_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/standin/%.o) $(BUILD)/standin/tests/cuda-emu/emu.o \
  $(patsubst %.c,$(BUILD)/standin/%.o,$(CUDA_HOST) $(filter-out %/faults.c,$(wildcard tests/cuda-emu/*.c)))
STANDIN_CXXFLAGS := -std=c++17 -O2 -g $(WARN) -Werror -fPIC -fvisibility=hidden -I. -Itests/cuda-emu

.PHONY: cuda check-cuda bench-cuda
ifeq ($(and $(NVCC),$(wildcard $(CUDA_HOME)/include/cudnn.h)),)
cuda check-cuda bench-cuda:
	@echo "$@: skipped, there is no nvcc with cuDNN here"
else
cuda: $(BUILD)/bin/ps-cuda.so
# These two need nvcc, the CUDA libraries and a GPU, and nothing of what make setup installs. With
# EMU=1 they run on the stand-in, with little to do.
CHECK_FOLDER := $(BUILD)/check-cuda$(if $(EMU),-emu)
check-cuda: $(addprefix $(CHECK_FOLDER)/bin/,compare gradients golden train)
	tests/cuda/check.sh $(abspath $(CHECK_FOLDER))/bin $(if $(EMU),quick)
bench-cuda: $(CHECK_FOLDER)/bin/bench
	$< $(or $(BATCH),$(if $(EMU),2,128)) $(if $(EMU),32 1)
tests: $(BUILD)/tests/ps-cuda.so $(BUILD)/tests/standin \
  $(addprefix $(BUILD)/check-cuda-emu/bin/,compare gradients golden train bench)
endif

PLUGIN_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/%.cu.o) $(CUDA_HOST:%.c=$(BUILD)/cuda/%.o)
$(BUILD)/bin/ps-cuda.so: $(PLUGIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) -shared -Wl,-z,defs $^ $(CUDA_LIBS) -o $@

# What of the library needs nothing but the compiler, as an archive: the linker takes what it misses.
CORE := $(BUILD)/check-cuda/core.a
PACKAGED := ^\#include (<(dnnl|faiss|glib|jansson|vips|xxhash)|"(train/(eventlog|report|run|tensorboard)|weights/onnx)\.h")
CORE_SRC := $(wildcard kernels/ref/*.c) \
  $(shell grep -LE '$(PACKAGED)' lib/base/*.c lib/weights/*.c lib/net/*.c lib/train/*.c)
$(CORE): $(CORE_SRC:%.c=$(BUILD)/check-cuda/%.o)
	@rm -f $@
	$(AR) rcs $@ $^
# In the place of lib/net/device.c and lib/weights/safetensors.c.
CHECK_CUDA_OBJ := $(BUILD)/check-cuda/tests/cuda/device.o $(BUILD)/check-cuda/tests/cuda/safetensors.o
$(BUILD)/check-cuda/bin/%: $(BUILD)/check-cuda/tests/cuda/%.o $(CHECK_CUDA_OBJ) $(CORE) $(PLUGIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) $(filter-out $(CORE),$^) $(CORE) $(CUDA_LIBS) -fopenmp -lm -o $@
$(BUILD)/check-cuda-emu/bin/%: $(BUILD)/check-cuda/tests/cuda/%.o $(CHECK_CUDA_OBJ) $(CORE) $(STANDIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) $(VARIANT) $(filter-out $(CORE),$^) $(CORE) -fopenmp -lm -o $@
# tests/backend/compare.c on this backend.
$(BUILD)/check-cuda/tests/cuda/compare.o: $(BUILD)/check-cuda/tests/backend/compare.o
	@mkdir -p $(@D)
	cp $< $@

$(BUILD)/check-cuda/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN_C) $(CFLAGS) $(VARIANT) $(MATH) -fopenmp -DPS_VERSION='"$(VERSION)"' -I. -Ilib \
	  -isystem $(CUDA_HOME)/include -MMD -MP -c $< -o $@

# Warnings are errors for every architecture: all kernels as one file, which takes half the time.
$(BUILD)/cuda-all.cu: $(CUDA_SRC) $(wildcard kernels/cuda/*.cuh kernels/cuda/*.h)
	@mkdir -p $(@D)
	@{ for f in $(filter %.cuh %/operators.h,$^); do echo "#include \"$$f\""; done; \
	for f in $(CUDA_SRC); do \
	  echo "namespace file_$$(basename $$f .cu) {"; echo "#include \"$$f\""; echo "}"; done; } >$@
$(BUILD)/cuda-all.fatbin: $(BUILD)/cuda-all.cu
	$(NVCC) $(CUDA_FLAGS) $(CUDA_GENCODE) --threads 0 -fatbin $< -o $@

$(BUILD)/tests/ps-cuda.so: $(STANDIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) $(VARIANT) -shared $^ -o $@

$(BUILD)/tests/standin: $(BUILD)/standin/tests/cuda-emu/faults.o $(STANDIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) $(VARIANT) $^ -o $@

$(BUILD)/cuda/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CUDA_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/standin/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CUDA_CFLAGS) -fopenmp-simd $(VARIANT) -MMD -MP -c $< -o $@

$(BUILD)/standin/%.o: %.cu
	@mkdir -p $(@D)
	$(CXX) -x c++ $(STANDIN_CXXFLAGS) $(VARIANT) -MMD -MP -c $< -o $@

$(BUILD)/standin/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(STANDIN_CXXFLAGS) $(VARIANT) -MMD -MP -c $< -o $@

$(BUILD)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(CUDA_FLAGS) $(CUDA_GENCODE) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/cuda-emu/%.o: %.cu
	@mkdir -p $(@D)
	$(CXX) -x c++ $(EMU_FLAGS) $(EMU_SANITIZE) -MMD -MP -c $< -o $@

$(BUILD)/cuda-emu/%.o: tests/cuda-emu/%.cc
	@mkdir -p $(@D)
	$(CXX) $(EMU_FLAGS) $(EMU_SANITIZE) -MMD -MP -c $< -o $@

$(BUILD)/tests/cuda_kernels: $(EMU_OBJ)
$(BUILD)/tests/cuda_kernels: private VARIANT += $(EMU_SANITIZE)
