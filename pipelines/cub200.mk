# CUB-200-2011: plain and with Proxy Synthesis, or the eight losses of table6.
#     make -f cub200.mk RAW=DIR INIT=bn_inception.pth SEEDS="1 2 3"
NAME ?= cub200
DATASET := cub200
MODEL ?= best-recall@1
include table6.mk
include common.mk
include raw.mk
