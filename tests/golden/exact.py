#!/usr/bin/env python3
"""exact.py GOLDEN... -o FOLDER: golden networks once more, in float64.

The golden networks were made in float32. With the statistics of a batch of two, rounding grows with
depth until ReLU masks flip, so that a deep one tells less about the network than its digits say.
This runs PyTorch in float64 over the same parameters and writes the tensors of the same names: the
distance between the two files is the rounding of the golden one.
"""
import argparse
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peer"))
import golden  # noqa: E402
from networks import network  # noqa: E402


def named_tensors(model, names):
    """{name in the golden file: parameter or running statistic}: both go in order of the layers."""
    found = dict(zip(names, model.parameters(), strict=True))
    by_parameter = {id(parameter): name for name, parameter in found.items()}
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            scope = by_parameter[id(module.weight)].removesuffix("weight")
            found[scope + "running_mean"] = module.running_mean
            found[scope + "running_var"] = module.running_var
    return found


def exact(path):
    wanted, meta = golden.read(path)
    backbone, tag, names = meta["backbone"], meta["tag"], meta["grad_norm_names"].split()
    batch, dim = wanted["embedding"].shape
    model = network(backbone, dim).double().train(meta["bn"] != "frozen")
    tensors = named_tensors(model, names)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(golden.value(name, tuple(tensor.shape), tag)))
    image = golden.image(backbone, batch, int(meta["input_size"]), tag)
    pooled = model[:-1](torch.from_numpy(image).double())
    embedding = model[-1](pooled)
    cotangent = golden.filler(f"{tag}/cotangent/{batch}x{dim}", (batch, dim))
    (embedding * torch.from_numpy(cotangent).double()).sum().backward()
    result = {"pooled": pooled, "embedding": embedding,
              "grad_norm": torch.stack([tensors[name].grad.norm() for name in names])}
    for key in wanted:
        kind, _, name = key.partition("/")
        if name:
            result[key] = tensors[name].grad if kind == "grad" else tensors[name]
    meta["made_by"] = f"tests/golden/exact.py, PyTorch {torch.__version__} in float64"
    return {key: result[key].detach().numpy() for key in wanted}, meta


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", nargs="+", type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path, help="folder")
    args = parser.parse_args()
    args.output.mkdir(exist_ok=True)
    for path in args.golden:
        golden.write(args.output / path.name, *exact(path))


if __name__ == "__main__":
    main()
