"""A plain version of the ECCV 2024 evaluator's training loop, as a reference for the backends.

It behaves like the published evaluator: batches are collated image by image, affine parameters are
lists of numbers, the network runs eagerly on whole batches, and values are read from the device in
every step. Random numbers are drawn in the evaluator's order.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmark_adapters import dsa


def convnet3(num_classes, image_size, channels, width=128):
    """Return the evaluator's network, with the same parameter names as the harness's ConvNet."""
    layers, size = [], image_size
    for block in range(3):
        padding = 3 if channels == 1 and block == 0 else 1
        layers += [
            torch.nn.Conv2d(width if block else channels, width, 3, padding=padding),
            torch.nn.GroupNorm(width, width),
        ]
        layers += [torch.nn.ReLU(), torch.nn.AvgPool2d(2)]
        size = (size + 2 * padding - 2) // 2
    parts = OrderedDict(
        features=torch.nn.Sequential(*layers),
        flat=torch.nn.Flatten(),
        classifier=torch.nn.Linear(width * size**2, num_classes),
    )
    return torch.nn.Sequential(parts)


def train(student, images, labels, recipe, seed, epochs, augment=True):
    """Train ``student`` in place, and return the mean loss of each epoch.

    Args:
        student: the network.
        images: float tensor [n, channels, size, size], normalised.
        labels: integer tensor [n].
        recipe: settings of the optimizer and the batch size.
        seed: random seed of the order and the augmentation.
        epochs: one epoch more than this is trained.
        augment: whether to apply DSA.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        loader = DataLoader(
            TensorDataset(images, labels), batch_size=recipe.batch_size, shuffle=True, num_workers=0
        )
        lr = recipe.lr
        optimizer = sgd(student, recipe, lr)
        losses = []
        for epoch in range(epochs + 1):
            losses.append(run_epoch(student, loader, optimizer, augment))
            if epoch == epochs // 2 + 1:
                lr *= 0.1
                optimizer = sgd(student, recipe, lr)
        return losses


def sgd(student, recipe, lr):
    return torch.optim.SGD(
        student.parameters(), lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


def run_epoch(student, loader, optimizer, augment):
    student.train()
    total, right, seen = 0.0, 0, 0
    for images, labels in loader:
        if augment:
            images = draw(images)
        output = student(images)
        loss = F.cross_entropy(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        right += (output.argmax(1) == labels).sum().item()
        seen += len(labels)
    return total / seen


def accuracy(student, images, labels, batch_size=256):
    """Return the accuracy as the evaluator does, with a loader and with (unused) gradients."""
    student.eval()
    right = 0
    for batch, classes in DataLoader(TensorDataset(images, labels), batch_size=batch_size):
        output = student(batch)
        F.cross_entropy(output, classes).item()
        right += (output.argmax(1) == classes).sum().item()
    return right / len(labels)


def draw(images):
    """Return images after one draw of DSA, which scales and rotates with lists of numbers."""
    names = dsa.STRATEGY.split("_")
    name = names[torch.randint(len(names), (1,)).item()]
    return {"scale": scale, "rotate": rotate}.get(name, dsa.FAMILIES[name])(images)


def scale(images, ratio=1.2):
    x = torch.rand(len(images)) * (ratio - 1 / ratio) + 1 / ratio
    y = torch.rand(len(images)) * (ratio - 1 / ratio) + 1 / ratio
    return sampled(images, [[[x[i], 0, 0], [0, y[i], 0]] for i in range(len(images))])


def rotate(images, degrees=15.0):
    angle = (torch.rand(len(images)) - 0.5) * 2 * degrees / 180 * math.pi
    return sampled(
        images,
        [
            [
                [torch.cos(angle[i]), torch.sin(-angle[i]), 0],
                [torch.sin(angle[i]), torch.cos(angle[i]), 0],
            ]
            for i in range(len(images))
        ],
    )


def sampled(images, matrices):
    grid = F.affine_grid(torch.tensor(matrices), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
