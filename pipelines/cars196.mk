# CARS196, the reference's four settings:
#     make -f cars196.mk RAW=DIR INIT=bn_inception.pth SEEDS="1 2 3 4 5 6 7 8"
# and the paper's table of eight losses, each plain and with Proxy Synthesis:
#     make -f cars196.mk table6 RAW=DIR INIT=bn_inception.pth
# Smaller, on the half of the data that shared folders often hold:
#     make -f cars196.mk RAW=DIR SETTINGS="norm-softmax ps-norm-softmax" MODEL=last \
#         TRAIN_FLAGS="--backbone resnet18 --input-size 64 --dim 128 --batch-size 64 --epochs 10 \
#         --no-freeze-bn --modellr 1e-3 --eps 1e-4 --check-epoch 1"
NAME ?= cars196
DATASET := cars196
# The reference reports the best of its evaluations.
MODEL ?= best-recall@1
include table6.mk
include common.mk
include raw.mk
