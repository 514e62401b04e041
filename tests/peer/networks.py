"""The networks in PyTorch, from their published tables: features, mean over the map, embedding."""
import torch
from torch import nn


class Conv(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, pad=None, relu=True, bias=False):
        super().__init__()
        pad = kernel // 2 if pad is None else pad
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=bias)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Of ResNet: two 3x3, or 1x1, 3x3, 1x1 with four times the width."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = width * (4 if bottleneck else 1)
        if bottleneck:
            self.body = nn.Sequential(Conv(inputs, width, 1), Conv(width, width, 3, stride),
                                      Conv(width, outputs, 1, relu=False))
        else:
            self.body = nn.Sequential(Conv(inputs, width, 3, stride),
                                      Conv(width, outputs, 3, relu=False))
        straight = stride == 1 and inputs == outputs
        self.side = nn.Identity() if straight else Conv(inputs, outputs, 1, stride, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.body(x) + self.side(x))


def resnet(layers, bottleneck):
    parts, inputs = [Conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, blocks in enumerate(layers):
        width = 64 << stage
        for i in range(blocks):
            stride = 2 if stage and not i else 1
            parts.append(Block(inputs, width, stride, bottleneck))
            inputs = width * (4 if bottleneck else 1)
    return nn.Sequential(*parts), inputs


class Inception(nn.Module):
    """Branches 1x1; 3x3; double 3x3; pool. Without `one` both 3x3 and the pool have stride 2."""

    def __init__(self, inputs, one, reduce, three, reduce2, double, pool, largest):
        super().__init__()
        stride = 1 if one else 2

        def conv(*args):
            return Conv(*args, bias=True)
        branches = [conv(inputs, one, 1)] if one else []
        branches.append(nn.Sequential(conv(inputs, reduce, 1), conv(reduce, three, 3, stride)))
        branches.append(nn.Sequential(conv(inputs, reduce2, 1), conv(reduce2, double, 3),
                                      conv(double, double, 3, stride)))
        if not one:
            branches.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        else:
            kind = nn.MaxPool2d if largest else nn.AvgPool2d
            branches.append(nn.Sequential(kind(3, 1, 1), conv(inputs, pool, 1)))
        self.branches = nn.ModuleList(branches)
        self.outputs = (one or inputs) + three + double + pool

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def bninception():
    table = [(64, 64, 64, 64, 96, 32), (64, 64, 96, 64, 96, 64), (0, 128, 160, 64, 96, 0),
             (224, 64, 96, 96, 128, 128), (192, 96, 128, 96, 128, 128),
             (160, 128, 160, 128, 160, 128), (96, 128, 192, 160, 192, 128),
             (0, 128, 192, 192, 256, 0), (352, 192, 320, 160, 224, 128),
             (352, 192, 320, 192, 224, 128)]
    parts = [Conv(3, 64, 7, 2, bias=True), nn.MaxPool2d(3, 2, ceil_mode=True),
             Conv(64, 64, 1, bias=True), Conv(64, 192, 3, bias=True),
             nn.MaxPool2d(3, 2, ceil_mode=True)]
    inputs = 192
    for i, row in enumerate(table):
        parts.append(Inception(inputs, *row, largest=i == len(table) - 1))
        inputs = parts[-1].outputs
    return nn.Sequential(*parts), inputs


def network(name, dim):
    features, outputs = {
        "resnet18": lambda: resnet((2, 2, 2, 2), False),
        "resnet34": lambda: resnet((3, 4, 6, 3), False),
        "resnet50": lambda: resnet((3, 4, 6, 3), True),
        "resnet101": lambda: resnet((3, 4, 23, 3), True),
        "bninception": bninception,
    }[name]()
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outputs, dim))
