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
CUDA_HOST := $(wildcard kernels/*.c kernels/cuda/*.c)
CUDA_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN_C) -Werror $(CFLAGS) -fPIC -fvisibility=hidden \
  -I. -isystem $(CUDA_HOME)/include
CUDA_LIBS = -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -lcudnn -lcublas -lcudart
EMU_FLAGS := -std=c++17 -O1 -g $(WARN) -Werror -I. -Itests/cuda-emu
EMU_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
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
# These two need nvcc, the CUDA libraries and a GPU, and nothing of what make setup installs.
check-cuda: $(BUILD)/tests/check-cuda
	$< test cuda 1 40
bench-cuda: $(BUILD)/tests/check-cuda
	$< perf cuda $(or $(BATCH),128)
tests: $(BUILD)/tests/ps-cuda.so $(BUILD)/tests/standin
endif

PLUGIN_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/%.cu.o) $(CUDA_HOST:%.c=$(BUILD)/cuda/%.o)
$(BUILD)/bin/ps-cuda.so: $(PLUGIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) -shared -Wl,-z,defs $^ $(CUDA_LIBS) -o $@

CHECK_CUDA_SRC := tests/backend/compare.c tests/cuda/device.c $(wildcard kernels/ref/*.c) \
  $(addprefix lib/base/,err.c interrupt.c log.c mem.c rng.c)
CHECK_CUDA_OBJ := $(CHECK_CUDA_SRC:%.c=$(BUILD)/check-cuda/%.o)
$(BUILD)/tests/check-cuda: $(CHECK_CUDA_OBJ) $(PLUGIN_OBJ)
	@mkdir -p $(@D)
	$(CXX) $^ $(CUDA_LIBS) -fopenmp -lm -o $@

$(BUILD)/check-cuda/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN_C) $(CFLAGS) $(MATH) -fopenmp -I. -Ilib -MMD -MP -c $< -o $@

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
