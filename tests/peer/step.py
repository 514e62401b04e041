"""Median time of a training step or of inference in PyTorch, as tests/bench/step.c measures ours.

step.py BACKBONE SIZE BATCH train|infer STEPS default|tuned
"tuned" is channels-last memory and, for inference, a traced and frozen network.
"""
import os
import sys
import time

import torch
from loss import synthesis_loss
from networks import network

name, size, batch, mode, steps, kind = sys.argv[1:]
size, batch, steps = int(size), int(batch), int(steps)
torch.set_num_threads(len(os.sched_getaffinity(0)))  # Debian's takes one
torch.manual_seed(1)
net = network(name, 512)
images = torch.randn(batch, 3, size, size)
net.eval()  # frozen batch norm; gamma and beta still train
if kind == "tuned":
    net, images = (v.to(memory_format=torch.channels_last) for v in (net, images))
if mode == "infer":
    if kind == "tuned":
        with torch.no_grad():
            net = torch.jit.freeze(torch.jit.trace(net, images))
else:
    proxy = torch.nn.Parameter(torch.rand(98, 512) - 0.5)
    labels = torch.arange(batch) % 98
    optimizer = torch.optim.Adam([{"params": net.parameters()}, {"params": [proxy], "lr": 1e-3}],
                                 lr=1e-5, weight_decay=1e-4, eps=0.01)


def step():
    if mode == "infer":
        with torch.no_grad():
            return net(images)
    optimizer.zero_grad(set_to_none=True)
    synthesis_loss(net(images), proxy, labels, 0.3).backward()
    return optimizer.step()


step()
step()
times, used = [], time.process_time()
for _ in range(steps):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
used = time.process_time() - used
times.sort()
print("torch", torch.__version__)
print(f"median {times[steps // 2] * 1e3:.1f} ms, best {times[0] * 1e3:.1f} ms, "
      f"cpu {used / steps * 1e3:.1f} ms")
