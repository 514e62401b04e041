"""Compares initial weights that tests/unit/initial.c has drawn and saved in a safetensors file with
what PyTorch draws for the same shapes, as Proxy-Anchor, ProxyNCA++ and nn.Linear do: standard
deviation, fourth moment and bound."""

import math
import sys

import torch
from torch.nn import init

from trajectory import read

DRAW = {
    "uniform": lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)),
    "normal": lambda w: w.copy_(torch.randn(w.shape) / 8),
    "kaiming": lambda w: init.kaiming_normal_(w, mode="fan_out"),
    "embedding": lambda w: init.kaiming_normal_(w, mode="fan_out"),
}
ALLOWED = 0.05


def moments(w):
    w = w.double().flatten()
    return [w.std().item(), (w**4).mean().item() ** 0.25]


def main(path):
    tensors, _ = read(path)
    torch.manual_seed(1)
    wrong = 0
    for name, draw in DRAW.items():
        ours = tensors[name]
        with torch.no_grad():
            theirs = draw(torch.empty(ours.shape))
        pairs = list(zip(moments(ours), moments(theirs)))
        if name == "uniform":
            pairs.append((ours.abs().max().item(), theirs.abs().max().item()))
        worst = max(abs(a / b - 1) for a, b in pairs)
        print(f"{name} {tuple(ours.shape)}: {pairs}, worst {worst:.3f}, allowed {ALLOWED}")
        wrong |= worst > ALLOWED or abs(ours.mean().item()) > ALLOWED * pairs[0][1]
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
