"""Prints how often PyTorch's StepLR and ReduceLROnPlateau have halved the learning rate by each epoch
or evaluation; tests/unit/schedule.c has these numbers."""

import math

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

VALUES = [0, 0.2, 0.3, 0.30002, 0.29, 0.3, 0.30004, 0.31, 0.31, 0.305, 0.3, 0.31003, 0.30, 0.31,
          0.31004, 0.4, 0.39, 0.39, 0.39, 0.41, 0.40, 0.41, 0.41003, 0.41, 0.41, 0.41, 0.41, 0.42]


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)


def halvings(sgd):
    return round(-math.log2(sgd.param_groups[0]["lr"]))


def of_step(size, epochs):
    sgd = optimizer()
    schedule = StepLR(sgd, size, gamma=0.5)
    for _ in range(epochs):
        yield halvings(sgd)
        sgd.step()
        schedule.step()


def of_plateau(patience):
    sgd = optimizer()
    schedule = ReduceLROnPlateau(sgd, mode="max", factor=0.5, patience=patience, eps=0)
    for value in VALUES:
        schedule.step(value)
        yield halvings(sgd)


print("StepLR(10):", *of_step(10, 32))
for patience in (0, 2, 3):
    print(f"plateau, patience {patience}:", *of_plateau(patience))
