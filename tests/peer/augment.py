"""Prints the tables of tests/unit/augment.c: hashes of what torchvision makes of the same images.

Its own code runs, on Pillow's images, with our random numbers instead of PyTorch's.
"""
import ctypes
from unittest import mock

import numpy
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

from stream import Stream

SEED, JITTER, ERASE, EPOCH = 3, 9, 10, 1

ADJUSTED = [
    ("BRIGHTNESS", 0.37), ("BRIGHTNESS", 1.61), ("CONTRAST", 0), ("CONTRAST", 0.73),
    ("CONTRAST", 1.94), ("SATURATION", 0), ("SATURATION", 0.61), ("SATURATION", 1.44),
    ("HUE", 0), ("HUE", -0.5), ("HUE", -0.129), ("HUE", 0.31), ("HUE", 0.5),
]
AUGMENTED = [  # size, jitter, probability of erasing
    (32, (0.4, 0.4, 0.4, 0.1), 0), (32, (0.4, 0.4, 0.4, 0), 0), (57, (1.5, 1.5, 1.5, 0.5), 0),
    (32, (0, 0, 0, 0), 1), (224, (0, 0, 0, 0), 0.5), (64, (0.8, 0.8, 0.8, 0.2), 0.9),
]
IMAGES = 20
FILL = (124, 116, 104)


class Hash(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_128bits.restype = Hash
xxhash.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def hash_of(data):
    value = xxhash.XXH3_128bits(data, len(data))
    return f"{value.high:016x}{value.low:016x}"


def all_colors():
    value = numpy.arange(1 << 24, dtype=numpy.uint32).reshape(4096, 4096)
    return numpy.stack([value >> 16, value >> 8 & 255, value & 255], 2).astype(numpy.uint8)


def pattern(size):
    """testimage_pattern()"""
    y, x = numpy.mgrid[:size, :size].astype(numpy.uint32)
    product = numpy.array(40503 * 65537 & 0xFFFFFFFF, dtype=numpy.uint32)
    noise = x * numpy.uint32(2654435761) + y * product + x * y * numpy.uint32(97)
    return numpy.stack([x * 7 + y * 3, (x * x + y * y) // 5, noise >> 24], 2).astype(numpy.uint8)


class Empty:
    def __init__(self, stream):
        self.stream = stream

    def uniform_(self, low, high):
        return torch.tensor(self.stream.uniform(float(low), float(high)), dtype=torch.float64)


def drawing_from(stream):
    return mock.patch.multiple(
        torch,
        rand=lambda n: torch.tensor([stream.uniform(0, 1)], dtype=torch.float64),
        empty=lambda n: Empty(stream),
        randint=lambda low, high, size: torch.tensor([low + stream.below(high - low)]),
        randperm=lambda n: torch.tensor(stream.shuffle(list(range(n)))))


def augment(image, jitter, erase, number):
    with drawing_from(Stream(SEED, JITTER, EPOCH, number)):
        image = transforms.ColorJitter(*jitter)(Image.fromarray(image))
    tensor = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)
    with drawing_from(Stream(SEED, ERASE, EPOCH, number)):
        tensor = transforms.RandomErasing(p=erase, value=FILL)(tensor)
    return tensor.permute(1, 2, 0).contiguous().numpy().tobytes()


image = Image.fromarray(all_colors())
for kind, factor in ADJUSTED:
    adjusted = getattr(functional, f"adjust_{kind.lower()}")(image, factor)
    print(f'    {{PS_COLOR_{kind}, {factor}, "{hash_of(numpy.asarray(adjusted).tobytes())}"}},')
print()
for size, jitter, erase in AUGMENTED:
    data = b"".join(augment(pattern(size), jitter, erase, i) for i in range(IMAGES))
    print(f'    {{{size}, {{{", ".join(map(str, jitter))}}}, {erase}, "{hash_of(data)}"}},')
