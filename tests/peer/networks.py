"""The networks in PyTorch, from their published tables: features, mean over the map, embedding."""
import math

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


class Same(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding and batch normalisation; ReLU6 unless linear."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, linear=False):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.linear = linear

    def forward(self, x):
        need = max((-(-x.shape[2] // self.stride[0]) - 1) * self.stride[0]
                   + self.kernel_size[0] - x.shape[2], 0)
        x = nn.functional.pad(x, [need // 2, need - need // 2] * 2)
        x = self.bn(super().forward(x))
        return x if self.linear else nn.functional.relu6(x)


class MBConv(nn.Sequential):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        wide = inputs * expansion
        super().__init__(*([Same(inputs, wide, 1)] if expansion > 1 else []),
                         Same(wide, wide, kernel, stride, groups=wide),
                         Same(wide, outputs, 1, linear=True))
        self.straight = stride == 1 and inputs == outputs

    def forward(self, x):
        return super().forward(x) + x if self.straight else super().forward(x)


def efficientnet_lite(width, depth):
    table = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
             (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
    parts, inputs = [Same(3, 32, 3, 2)], 32
    for i, (repeats, kernel, stride, expansion, channels) in enumerate(table):
        outputs = max(8, int(channels * width + 4) // 8 * 8)
        outputs += 8 if outputs < 0.9 * channels * width else 0
        for k in range(repeats if i in (0, len(table) - 1) else math.ceil(repeats * depth)):
            parts.append(MBConv(inputs, outputs, kernel, 1 if k else stride, expansion))
            inputs = outputs
    return nn.Sequential(*parts, Same(inputs, 1280, 1)), 1280


def network(name, dim):
    features, outputs = {
        "resnet18": lambda: resnet((2, 2, 2, 2), False),
        "resnet34": lambda: resnet((3, 4, 6, 3), False),
        "resnet50": lambda: resnet((3, 4, 6, 3), True),
        "resnet101": lambda: resnet((3, 4, 23, 3), True),
        "bninception": bninception,
        "efficientnet-lite0": lambda: efficientnet_lite(1, 1),
        "efficientnet-lite1": lambda: efficientnet_lite(1, 1.1),
        "efficientnet-lite2": lambda: efficientnet_lite(1.1, 1.2),
    }[name]()
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outputs, dim))
