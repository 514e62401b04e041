"""Compares our transforms with Pillow, doing what torchvision does with the same random numbers.

transform.py make FOLDER            photograph-like JPEGs in FOLDER/train/x
transform.py FOLDER SIZE MODE RAW   compares RAW, from bench-transform, with the images of FOLDER
                                    (ps-pack --extract); prints the mean absolute difference and
                                    the PSNR, worst image of all, and fails beyond 1 and 40 dB
"""
import math
import sys
from pathlib import Path

import numpy
from PIL import Image

from stream import Stream


def random_crop(image, stream):
    width, height = image.size
    for _ in range(10):
        area = width * height * stream.uniform(0.08, 1)
        ratio = math.exp(stream.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            y, x = stream.below(height - h + 1), stream.below(width - w + 1)
            return image.crop((x, y, x + w, y + h))
    ratio, w, h = width / height, width, height
    if ratio < 3 / 4:
        h = round(width / (3 / 4))
    elif ratio > 4 / 3:
        w = round(height * (4 / 3))
    x, y = (width - w) // 2, (height - h) // 2
    return image.crop((x, y, x + w, y + h))


def train(image, size, stream):
    image = random_crop(image, stream).resize((size, size), Image.BILINEAR)
    return image.transpose(Image.FLIP_LEFT_RIGHT) if stream.uniform(0, 1) < 0.5 else image


def test(image, size, _):
    side, (w, h) = round(size * 256 / 224), image.size
    if min(w, h) != side:
        w, h = (side, int(side * h / w)) if w < h else (int(side * w / h), side)
        image = image.resize((w, h), Image.BILINEAR)
    x, y = round((w - size) / 2), round((h - size) / 2)
    return image.crop((x, y, x + size, y + size))


def make(folder):
    random = numpy.random.default_rng(1)
    folder.mkdir(parents=True)
    for i in range(24):
        w, h = (int(v) for v in random.integers(60, 500, 2))
        small = random.integers(0, 256, (h // 16 + 2, w // 16 + 2, 3), dtype=numpy.uint8)
        large = numpy.asarray(Image.fromarray(small).resize((w, h), Image.BICUBIC), dtype=int)
        noisy = (large + random.integers(-12, 13, (h, w, 3))).clip(0, 255).astype(numpy.uint8)
        Image.fromarray(noisy).convert("L" if i % 8 == 7 else "RGB").save(
            folder / f"{i:03}.jpg", quality=75 + i, progressive=i % 5 == 0)


def compare(folder, size, mode, raw):
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.name)
    ours = numpy.fromfile(raw, dtype=numpy.uint8).reshape(len(paths), size, size, 3)
    worst_mean = same = 0
    worst_psnr = math.inf
    for i, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        expect = (train if mode == "train" else test)(image, size, Stream(1, 3, 0, i))
        difference = ours[i].astype(float) - numpy.asarray(expect)
        worst_mean = max(worst_mean, abs(difference).mean())
        square = (difference**2).mean()
        same += square == 0
        worst_psnr = min(worst_psnr, 10 * math.log10(255**2 / square) if square else math.inf)
    print(f"{mode} {size}: {same} of {len(paths)} images are equal; largest mean difference "
          f"{worst_mean:.4f} of 255, least PSNR {worst_psnr:.1f} dB")
    return 0 if worst_mean < 1 and worst_psnr > 40 else 1


if sys.argv[1] == "make":
    make(Path(sys.argv[2]) / "train" / "x")
else:
    sys.exit(compare(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
