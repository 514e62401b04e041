# The CUDA kernels twice: by nvcc for every architecture from sm_75 up that it knows, and by the host
# compiler, with the sanitizers, for the tests (see tests/cuda-emu/cuda_runtime.h).
NVCC ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_SRC := $(wildcard kernels/cuda/*.cu)
CUDA_ARCHS ?= $(shell $(NVCC) --list-gpu-code | sed -n 's/^sm_//p' | sort -n | awk '$$1 >= 75')
CUDA_GENCODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a,code=sm_$a) \
  -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS))
CUDA_FLAGS = -std=c++17 -O3 -Werror all-warnings -Xcompiler -fPIC,-Wall,-Wextra,-Werror -I.
EMU_FLAGS := -std=c++17 -O1 -g $(WARN) -Werror -I. -Itests/cuda-emu
EMU_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
EMU_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/cuda-emu/%.o) \
  $(patsubst tests/%.cc,$(BUILD)/%.o,$(wildcard tests/cuda-emu/*.cc))

.PHONY: cuda
ifeq ($(NVCC),)
cuda:
	@echo "cuda: skipped, there is no nvcc here"
else
cuda: $(CUDA_SRC:%.cu=$(BUILD)/%.cu.o)
endif

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
