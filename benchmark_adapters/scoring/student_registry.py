"""Names, builders and summaries of the built-in students. Cheap to import: no torch."""

from __future__ import annotations

from benchmark_adapters.types import Student

MODULE = "benchmark_adapters.scoring.students"

_STUDENTS = (
    Student(
        "convnet3",
        f"{MODULE}:convnet3",
        "3 blocks of convolution, instance norm, ReLU and pooling, as in the ECCV 2024 challenge",
    ),
    Student("convnet4", f"{MODULE}:convnet4", "convnet3 with 4 blocks"),
    Student("convnet3-bn", f"{MODULE}:convnet3_bn", "convnet3 with batch norm"),
    Student("resnet18", f"{MODULE}:resnet18", "ResNet-18 with a stem for small images"),
    Student("alexnet", f"{MODULE}:alexnet", "the small AlexNet from the condensation papers"),
    Student("vgg11", f"{MODULE}:vgg11", "VGG-11 with batch norm and one linear layer"),
    Student("mlp", f"{MODULE}:mlp", "multilayer perceptron with two hidden layers"),
)
STUDENTS = {student.name: student for student in _STUDENTS}
