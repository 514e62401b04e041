# CARS196, the reference's four settings:
#     make -f cars196.mk RAW=DIR INIT=bn_inception.pth SEEDS="1 2 3 4 5 6 7 8"
# and the paper's table of eight losses, each plain and with Proxy Synthesis:
#     make -f cars196.mk table6 RAW=DIR INIT=bn_inception.pth
# Smaller, on the half of the data that shared folders often hold:
#     make -f cars196.mk RAW=DIR PREPARE_FLAGS=--allow-missing PACK_FLAGS="--short-side 80" \
#         TRAIN_FLAGS="--backbone resnet18 --input-size 64 --epochs 10 --no-freeze-bn"
NAME ?= cars196
DATASET := cars196
# The reference reports the best of its evaluations.
MODEL ?= best-recall@1
include table6.mk
include common.mk
include raw.mk
