"""Images per second of the usual Python loader on one core, for comparison with ours.

loader_peer.py FOLDER [size [seconds]]: FOLDER holds the images (ps-pack --extract). Makes the calls
of Pillow that torchvision's transforms make, without torchvision: once PyTorch is imported, Pillow
takes up to half as long again. The result is an array of bytes in memory, as our loader's is; files
are read beforehand. Making numbers of the bytes (ToTensor, Normalize) is left out on both sides:
the device does it for our loader.
"""
import io
import math
import random
import resource
import sys
import time
from pathlib import Path

import numpy
from PIL import Image, ImageEnhance

folder = Path(sys.argv[1])
size = int(sys.argv[2]) if len(sys.argv) > 2 else 224
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 5


def random_box(width, height):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = random.randint(0, width - w), random.randint(0, height - h)
            return x, y, x + w, y + h
    return 0, 0, width, height


def pillow_train(image):
    image = image.crop(random_box(*image.size)).resize((size, size), Image.BILINEAR)
    return image.transpose(Image.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def adjust_hue(image, factor):
    h, s, v = image.convert("HSV").split()
    shifted = numpy.asarray(h) + numpy.int32(factor * 255).astype(numpy.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted, "L"), s, v)).convert("RGB")


def enhancer(kind, factor):
    return lambda image: kind(image).enhance(factor)


def pillow_jitter(image):
    """ColorJitter(0.4, 0.4, 0.4, 0.1) and RandomErasing(0.25)"""
    image = pillow_train(image)
    hue = random.uniform(-0.1, 0.1)
    steps = [enhancer(kind, random.uniform(0.6, 1.4)) for kind in
             (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)]
    steps.append(lambda image: adjust_hue(image, hue))
    random.shuffle(steps)
    for step in steps:
        image = step(image)
    if random.random() < 0.25:
        area = size * size * random.uniform(0.02, 0.33)
        ratio = math.exp(random.uniform(math.log(0.3), math.log(3.3)))
        h, w = (min(round(math.sqrt(v)), size - 1) for v in (area * ratio, area / ratio))
        image.paste((124, 116, 104), (0, 0, w, h))
    return image


def pillow_test(image):
    side = round(size * 256 / 224)
    w, h = image.size
    w, h = (side, int(side * h / w)) if w < h else (int(side * w / h), side)
    x, y = round((w - size) / 2), round((h - size) / 2)
    return image.resize((w, h), Image.BILINEAR).crop((x, y, x + size, y + size))


steps = {"jitter": pillow_jitter, "train": pillow_train, "test": pillow_test}
files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
random.seed(1)
random.shuffle(files)


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


for name, step in steps.items():
    count, begun, used = 0, time.monotonic(), cpu()
    while time.monotonic() - begun < seconds:
        with Image.open(io.BytesIO(files[count % len(files)])) as image:
            numpy.asarray(step(image.convert("RGB")))
        count += 1
    print("pillow", name, size, 1,
          round(count / (time.monotonic() - begun)), round(count / (cpu() - used)), sep="\t")
