"""Repeats with PyTorch the training steps that tests/unit/trajectory.c has recorded in a
safetensors file, and compares the losses and the last parameters. The network is ResNet-18 as
published (He et al. 2016, torchvision's tensor names), the loss Norm-SoftMax with Proxy Synthesis
from its formulas, over PyTorch's cross-entropy with its label smoothing."""

import json
import struct
import sys

import torch
import torch.nn.functional as F

TYPES = {"F32": torch.float32, "U8": torch.uint8, "I32": torch.int32}
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
ALLOWED = 3e-3  # where rounding turns over a ReLU; else differences stay below 1e-5
ALLOWED_END = 5e-2  # of the way that a parameter has gone


def read(path):
    data = bytearray(open(path, "rb").read())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = data[8 + length + begin : 8 + length + end]
        tensors[name] = torch.frombuffer(values, dtype=TYPES[entry["dtype"]]).view(entry["shape"])
    return tensors, metadata


def pool(x, pooling):
    if pooling == "GAP":
        return x.mean((2, 3))
    return x.amax((2, 3)) + (x.mean((2, 3)) if pooling == "GAP,GMP" else 0)


def resnet18(t, x, training, pooling, norm):
    def bn(x, name):
        return F.batch_norm(
            x, t[name + ".running_mean"], t[name + ".running_var"],
            t[name + ".weight"], t[name + ".bias"], training, 0.1, 1e-5)

    def block(x, name, stride):
        y = F.relu(bn(F.conv2d(x, t[name + ".conv1.weight"], None, stride, 1), name + ".bn1"))
        y = bn(F.conv2d(y, t[name + ".conv2.weight"], None, 1, 1), name + ".bn2")
        if name + ".downsample.0.weight" in t:
            x = F.conv2d(x, t[name + ".downsample.0.weight"], None, stride)
            x = bn(x, name + ".downsample.1")
        return F.relu(x + y)

    x = F.relu(bn(F.conv2d(x, t["conv1.weight"], None, 2, 3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer in range(1, 5):
        for place in range(2):
            x = block(x, f"layer{layer}.{place}", 2 if layer > 1 and place == 0 else 1)
    x = pool(x, pooling)
    if norm == "pooled":
        x = F.layer_norm(x, x.shape[1:])
    x = F.linear(x, t["embedding.weight"], t["embedding.bias"])
    return F.layer_norm(x, x.shape[1:]) if norm == "embedding" else x


def loss_of(x, proxies, labels, weight, synthetic, scale, smoothing):
    x, p = F.normalize(x), F.normalize(proxies)
    previous = labels.roll(1)
    made_x = F.normalize(weight * x + (1 - weight) * x.roll(1, 0))[:synthetic]
    made_p = F.normalize(weight * p[labels] + (1 - weight) * p[previous])[:synthetic]
    labels = torch.cat([labels, len(p) + torch.arange(synthetic)])
    return F.cross_entropy(scale * torch.cat([x, made_x]) @ torch.cat([p, made_p]).t(), labels,
                           label_smoothing=smoothing)


def main(path):
    t, metadata = read(path)
    inputs = {name: t.pop(name) for name in ("images", "labels", "lambda", "loss")}
    end = {name[4:]: t.pop(name) for name in list(t) if name.startswith("end.")}
    begin = {name: t[name].clone() for name in end}
    parameters = {name: t[name].requires_grad_() for name in end if name != "proxy.weight"}
    proxies = t["proxy.weight"].requires_grad_()
    undecayed = [v for name, v in parameters.items() if metadata["decayed"] == "matrices"
                 and (name.endswith(".bias") or "bn" in name or "downsample.1" in name)]
    decayed = [v for v in parameters.values() if not any(v is u for u in undecayed)]
    groups = [{"params": decayed, "lr": 3e-5},
              {"params": [proxies], "lr": 3e-3, "weight_decay": float(metadata["proxy_decay"])}]
    if undecayed:
        groups.append({"params": undecayed, "lr": 3e-5, "weight_decay": 0})
    adam = torch.optim.Adam(groups, eps=0.01, weight_decay=float(metadata["weight_decay"]))
    worst = 0
    for step, ours in enumerate(inputs["loss"].tolist()):
        images = inputs["images"][step].permute(0, 3, 1, 2).float() / 255
        x = resnet18(t, (images - MEAN) / STD, metadata["freeze_bn"] == "false",
                     metadata["pooling"], metadata["norm"])
        loss = loss_of(x, proxies, inputs["labels"][step].long(), float(inputs["lambda"][step]),
                       int(metadata["synthetic"]), float(metadata["scale"]),
                       float(metadata["smoothing"]))
        worst = max(worst, abs(loss.item() - ours) / loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    print(f"{len(inputs['loss'])} steps, last loss {loss.item():.6f}, ours {ours:.6f}, "
          f"largest relative difference {worst:.2e}, allowed {ALLOWED:.0e}")
    off, name = max((((t[name] - end[name]).norm() / (t[name] - begin[name]).norm()).item(), name)
                    for name in end)
    print(f"parameters: {name} is off by {off:.2e} of its way, allowed {ALLOWED_END:.0e}")
    return worst > ALLOWED or off > ALLOWED_END


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
