"""File formats for distilled sets. Reading never executes the content of a file."""

from benchmark_adapters.formats import dcbench, eccv2024, imagefolder, native
from benchmark_adapters.formats.tensor_pair import DDRANKING, MTT
from benchmark_adapters.types import Format

FORMATS = (
    Format(
        "native",
        native.write,
        native.read,
        native.find,
        summary="images.safetensors and manifest.json, as in a run's folder",
    ),
    Format(
        "eccv2024",
        eccv2024.write,
        eccv2024.read,
        eccv2024.find,
        eccv2024.write_truth,
        "submission to the ECCV 2024 challenge: cifar100.pt and tinyimagenet.pt, normalised, "
        "sorted by class",
    ),
    Format(
        "dcbench",
        dcbench.write,
        dcbench.read,
        dcbench.find,
        summary="DC-BENCH's res_METHOD_DATASET_ConvNet_Nipc.pt, normalised",
    ),
    Format(
        "mtt",
        MTT.write,
        MTT.read,
        MTT.find,
        summary="MTT's images_best.pt and labels_best.pt, normalised",
    ),
    Format(
        "ddranking",
        DDRANKING.write,
        DDRANKING.read,
        DDRANKING.find,
        summary="DD-Ranking's images.pt and, if it is there, labels.pt, with its normalisation",
    ),
    Format(
        "imagefolder",
        imagefolder.write,
        imagefolder.read,
        imagefolder.find,
        summary="PNG files in one folder per class, with metadata.jsonl",
    ),
)
