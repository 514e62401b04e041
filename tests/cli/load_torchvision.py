"""Helper of weights.bats: what torchvision makes of exported weights.

    load_torchvision.py weights BACKBONE OUT      every tensor of torchvision's network but fc
    load_torchvision.py load EXPORTED GOLDEN      load_state_dict misses fc only; features as in GOLDEN
"""
import sys
from pathlib import Path

import numpy as np
import torch
from torchvision import models

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peer"))
import golden  # noqa: E402


def weights(backbone, out):
    model = getattr(models, backbone)()
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()
              if not name.startswith("fc.") and tensor.is_floating_point()}
    shapes["embedding.weight"], shapes["embedding.bias"] = (64, model.fc.in_features), (64,)
    golden.write(out, {name: golden.value(name, shape) for name, shape in shapes.items()})


def load(exported, golden_path):
    wanted, meta = golden.read(golden_path)
    model = getattr(models, meta["backbone"])().eval()
    state = {name: torch.tensor(array) for name, array in golden.read(exported)[0].items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    print("missing:", *missing, "unexpected:", *unexpected)
    assert sorted(missing) == ["fc.bias", "fc.weight"] and not unexpected
    model.fc = torch.nn.Identity()
    batch, size = len(wanted["pooled"]), int(meta["input_size"])
    with torch.no_grad():
        got = model(torch.from_numpy(golden.image(meta["backbone"], batch, size))).numpy()
    error = np.abs(got - wanted["pooled"]).max() / np.abs(wanted["pooled"]).max()
    print(f"largest difference: {error:.3g} of the largest element")
    sys.exit(not error <= 1e-5)


if __name__ == "__main__":
    {"weights": weights, "load": load}[sys.argv[1]](*sys.argv[2:])
