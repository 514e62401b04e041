"""Median time of a training step or of inference in PyTorch, as tests/bench/step.c measures ours.

step.py BACKBONE SIZE BATCH train|infer STEPS default|tuned fp32|bf16
"tuned" is the fastest, by a trial of each, of what PyTorch offers: channels-last memory or not and,
for inference, a traced and frozen network, optimised for inference or not. bf16 is autocast.
"""
import copy
import os
import sys
import time
import warnings

import torch
from loss import synthesis_loss
from networks import network

warnings.simplefilter("ignore")  # of ways to tune that will go
name, size, batch, mode, steps, kind, precision = sys.argv[1:]
size, batch, steps = int(size), int(batch), int(steps)
torch.set_num_threads(len(os.sched_getaffinity(0)))  # Debian's takes one
torch.manual_seed(1)
plain = network(name, 512).eval()  # frozen batch norm; gamma and beta still train
pixels = torch.randn(batch, 3, size, size)
narrow = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def inference(channels_last, frozen, optimised):
    net, images = copy.deepcopy(plain), pixels
    if channels_last:
        net, images = (v.to(memory_format=torch.channels_last) for v in (net, images))
    with torch.no_grad(), narrow:
        if frozen:
            net = torch.jit.freeze(torch.jit.trace(net, images))
        if optimised:
            net = torch.jit.optimize_for_inference(net)

    def step():
        with torch.no_grad(), narrow:
            net(images)
    return step


def training(channels_last):
    net, images = copy.deepcopy(plain), pixels
    if channels_last:
        net, images = (v.to(memory_format=torch.channels_last) for v in (net, images))
    proxy = torch.nn.Parameter(torch.rand(98, 512) - 0.5)
    labels = torch.arange(batch) % 98
    optimizer = torch.optim.Adam([{"params": net.parameters()}, {"params": [proxy], "lr": 1e-3}],
                                 lr=1e-5, weight_decay=1e-4, eps=0.01)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with narrow:
            x = net(images)
        synthesis_loss(x.float(), proxy, labels, 0.3).backward()
        optimizer.step()
    return step


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def trial(step):
    """Of the third run: two warm up."""
    return [seconds(step) for _ in range(3)][2]


if mode == "infer":
    ways, make = [(True, True, False), (False, True, True), (True, True, True)], inference
    simple = (False, False, False)
else:
    ways, make, simple = [(True,), (False,)], training, (False,)
best = simple if kind == "default" else min(ways, key=lambda way: trial(make(*way)))
step = make(*best)
step()
step()
used = time.process_time()
times = [seconds(step) for _ in range(steps)]
used = time.process_time() - used
times.sort()
print("torch", torch.__version__)
print(f"median {times[steps // 2] * 1e3:.1f} ms, best {times[0] * 1e3:.1f} ms, "
      f"cpu {used / steps * 1e3:.1f} ms")
