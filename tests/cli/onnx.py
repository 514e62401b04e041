"""Helper of onnx.bats: weights by the golden filler, and what onnxruntime makes of an ONNX file.

    onnx.py weights BACKBONE OUT          a full set of tensors (tests/golden/README.md)
    onnx.py golden MODEL.onnx GOLDEN      compare with the embedding of a golden file
    onnx.py photos FOLDER                 make a data set of small P6 images
    onnx.py images MODEL.onnx FOLDER EMB  compare with what ps-embed made of them
"""
import glob
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peer"))
from golden import image, read, value, write  # noqa: E402

DIM = 64
SIZE = 64


def bn(name, channels):
    return [(f"{name}.{part}", (channels,))
            for part in ("weight", "bias", "running_mean", "running_var")]


def resnet18():
    names = [("conv1.weight", (64, 3, 7, 7)), *bn("bn1", 64)]
    inside = 64
    for stage, channels in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            scope = f"layer{stage}.{block}"
            names += [(f"{scope}.conv1.weight", (channels, inside, 3, 3)),
                      *bn(f"{scope}.bn1", channels),
                      (f"{scope}.conv2.weight", (channels, channels, 3, 3)),
                      *bn(f"{scope}.bn2", channels)]
            if inside != channels:
                names += [(f"{scope}.downsample.0.weight", (channels, inside, 1, 1)),
                          *bn(f"{scope}.downsample.1", channels)]
            inside = channels
    return names, inside


def bninception():
    names = []

    def conv(name, inside, channels, kernel):
        names.extend([(f"{name}.weight", (channels, inside, kernel, kernel)),
                      (f"{name}.bias", (channels,)), *bn(f"{name}_bn", channels)])

    conv("conv1_7x7_s2", 3, 64, 7)
    conv("conv2_3x3_reduce", 64, 64, 1)
    conv("conv2_3x3", 64, 192, 3)
    inside = 192
    for block, one, three, double, pool in (
        ("3a", 64, (64, 64), (64, 96), 32), ("3b", 64, (64, 96), (64, 96), 64),
        ("3c", 0, (128, 160), (64, 96), 0), ("4a", 224, (64, 96), (96, 128), 128),
        ("4b", 192, (96, 128), (96, 128), 128), ("4c", 160, (128, 160), (128, 160), 128),
        ("4d", 96, (128, 192), (160, 192), 128), ("4e", 0, (128, 192), (192, 256), 0),
        ("5a", 352, (192, 320), (160, 224), 128), ("5b", 352, (192, 320), (192, 224), 128),
    ):
        scope = f"inception_{block}"
        if one:
            conv(f"{scope}_1x1", inside, one, 1)
        conv(f"{scope}_3x3_reduce", inside, three[0], 1)
        conv(f"{scope}_3x3", *three, 3)
        conv(f"{scope}_double_3x3_reduce", inside, double[0], 1)
        conv(f"{scope}_double_3x3_1", *double, 3)
        conv(f"{scope}_double_3x3_2", double[1], double[1], 3)
        if pool:
            conv(f"{scope}_pool_proj", inside, pool, 1)
        inside = one + three[1] + double[1] + (pool or inside)
    return names, inside


def weights(backbone, out):
    names, channels = {"resnet18": resnet18, "bninception": bninception}[backbone]()
    names += [("embedding.weight", (DIM, channels)), ("embedding.bias", (DIM,))]
    write(out, {name: value(name, shape) for name, shape in names})


def run(path, images):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"image": images})[0]


def compare(got, wanted, tolerance):
    error = np.abs(got - wanted).max() / np.abs(wanted).max()
    print(f"largest difference: {error:.3g} of the largest element")
    sys.exit(not (got.shape == wanted.shape and error <= tolerance))


def golden(path, golden_path):
    tensors, metadata = read(golden_path)
    x = image(metadata["backbone"], len(tensors["embedding"]), int(metadata["input_size"]))
    compare(run(path, x), tensors["embedding"], 1e-4)


def photos(folder):
    random = np.random.default_rng(1)
    for i in range(6):
        os.makedirs(f"{folder}/{i // 3}", exist_ok=True)
        coarse = random.integers(0, 256, (8, 8, 3), np.uint8)
        with open(f"{folder}/{i // 3}/{i}.ppm", "wb") as file:
            file.write(f"P6\n{SIZE} {SIZE}\n255\n".encode())
            file.write(coarse.repeat(SIZE // 8, 0).repeat(SIZE // 8, 1).tobytes())


def images(path, folder, embedding_path):
    pixels = []
    for name in sorted(glob.glob(f"{folder}/*/*.ppm")):
        with open(name, "rb") as file:
            raw = file.read()[-SIZE * SIZE * 3 :]
        pixels.append(np.frombuffer(raw, np.uint8).reshape(SIZE, SIZE, 3))
    import onnxruntime

    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    scale, mean, std = (np.float32([float(x) for x in metadata[key].split(",")])
                        for key in ("range", "mean", "std"))
    order = ["rgb".index(letter) for letter in metadata["channels"]]
    x = (np.stack(pixels)[..., order].astype(np.float32) / scale - mean) / std
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    compare(run(path, x), read(embedding_path)[0]["embedding"], 1e-4)


if __name__ == "__main__":
    {"weights": weights, "golden": golden, "photos": photos,
     "images": images}[sys.argv[1]](*sys.argv[2:])
