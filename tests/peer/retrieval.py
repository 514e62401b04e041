"""Recall@1,2,4,8, RP and MAP@R of an .npy of embeddings with FAISS's Python index and numpy.

retrieval.py EMBEDDINGS.npy LABELS.npy
"""
import sys

import faiss
import numpy

x = numpy.load(sys.argv[1])
labels = numpy.load(sys.argv[2])
x /= numpy.linalg.norm(x, axis=1, keepdims=True)
same = numpy.bincount(labels)[labels] - 1
index = faiss.IndexFlatIP(x.shape[1])
index.add(x)
k = max(8, int(same.max()))
_, found = index.search(x, k + 1)
rows = numpy.arange(len(x))[:, None]
place = numpy.argsort(found == rows, axis=1, kind="stable")[:, :k]  # the query itself goes last
hit = labels[numpy.take_along_axis(found, place, 1)] == labels[:, None]
hit, same = hit[same > 0], same[same > 0]  # a query without another of its label counts nowhere
for r in (1, 2, 4, 8):
    print(f"recall@{r}", hit[:, :r].any(1).mean())
inside = hit & (numpy.arange(k) < same[:, None])
precision = inside.cumsum(1) / numpy.arange(1, k + 1)
print("rp", (inside.sum(1) / same).mean())
print("map@r", ((precision * inside).sum(1) / same).mean())
print("faiss", faiss.__version__)
