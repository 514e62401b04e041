# In-Shop Clothes: plain and with Proxy Synthesis, or the eight losses of table6.
#     make -f inshop.mk RAW=DIR INIT=bn_inception.pth SEEDS="1 2 3"
NAME ?= inshop
DATASET := inshop
MODEL ?= best-recall@1
include table6.mk
include common.mk
include raw.mk
