"""Norm-SoftMax with Proxy Synthesis in PyTorch, from the paper's formulas (mu = 1), and its time.

loss.py B C D ROUNDS prints milliseconds of loss and gradients, and of Adam over the proxies.
"""
import os
import sys
import time

import torch
import torch.nn.functional as F


def synthesis_loss(x, proxy, labels, weight, scale=23):
    x, p = F.normalize(x), F.normalize(proxy)
    own = p[labels]
    xs = F.normalize(weight * x + (1 - weight) * x.roll(1, 0))
    ps = F.normalize(weight * own + (1 - weight) * own.roll(1, 0))
    classes = len(proxy) + torch.arange(len(x))
    return F.cross_entropy(scale * torch.cat([x, xs]) @ torch.cat([p, ps]).T,
                           torch.cat([labels, classes]))


def main():
    samples, classes, dim, rounds = map(int, sys.argv[1:])
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # Debian's takes one
    torch.manual_seed(1)
    x = torch.randn(samples, dim, requires_grad=True)
    proxy = torch.nn.Parameter(torch.randn(classes, dim))
    labels = torch.arange(samples) * 7 % classes
    optimizer = torch.optim.Adam([proxy], lr=1e-5, weight_decay=1e-4, eps=0.01)
    loss, adam = [], []
    for _ in range(rounds + 1):
        optimizer.zero_grad()
        x.grad = None
        start = time.perf_counter()
        synthesis_loss(x, proxy, labels, 0.3).backward()
        middle = time.perf_counter()
        optimizer.step()
        loss.append(middle - start)
        adam.append(time.perf_counter() - middle)
    for name, times in (("loss", loss), ("adam", adam)):
        print(name, round(sorted(times[1:])[rounds // 2] * 1e3, 3), sep="\t")
    print("version", "torch " + torch.__version__, sep="\t")


if __name__ == "__main__":
    main()
