"""Golden files and the filler that their parameters come from: tests/golden/README.md."""
import json
import struct

import numpy as np


def read(path):
    """({name: array}, metadata) of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    types = {"F32": "<f4", "I64": "<i8", "I32": "<i4"}
    return {name: np.frombuffer(data, types[entry["dtype"]], int(np.prod(entry["shape"])),
                                8 + length + entry["data_offsets"][0]).reshape(entry["shape"])
            for name, entry in header.items() if entry["dtype"] in types}, metadata


def write(path, tensors, metadata=None):
    """Float32 arrays by name."""
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, x in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(x.shape),
                        "data_offsets": [at, at + 4 * x.size]}
        at += 4 * x.size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            file.write(x.astype("<f4").tobytes())


def filler(name, shape):
    """u(name, i) in [-1, 1)."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    z = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed)
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / 2**24 * 2 - 1).astype("<f4").reshape(shape)


def value(name, shape, tag="shared"):
    """A parameter or running statistic of a golden network."""
    u = filler(f"{tag}/{name}", shape)
    part = name.rsplit(".", 1)[1]
    if len(shape) == 4:
        return u * np.float32(np.sqrt(6 / np.prod(shape[1:])))
    if len(shape) == 2:
        return u * np.float32(np.sqrt(3 / shape[1]))
    if part == "running_var":
        return 1 + np.float32(0.5) * u
    if part == "weight":
        return np.float32(1 if "_bn" in name else 0.5) + np.float32(0.1) * u
    return np.float32(0.1) * u


def image(backbone, batch, size, tag="shared"):
    return filler(f"{tag}/image/{backbone}/{batch}x3x{size}x{size}", (batch, 3, size, size))
