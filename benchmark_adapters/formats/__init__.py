"""File formats for distilled sets. Reading never executes the content of a file."""

from benchmark_adapters.formats import dcbench, eccv2024, idc, imagefolder, native, npz
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
        summary="res_METHOD_DATASET_ConvNet_Nipc.pt of DC, DSA, DM and DC-BENCH, normalised",
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
    Format("idc", idc.write, idc.read, idc.find, summary="IDC's data.pt, in [0, 1]"),
    Format(
        "npz",
        npz.write,
        npz.read,
        npz.find,
        summary="FRePo's or KIP's .npz file, normalised, if its labels were not learned",
    ),
    Format(
        "imagefolder",
        imagefolder.write,
        imagefolder.read,
        imagefolder.find,
        read_resized=imagefolder.read_resized,
        summary="PNG, JPEG, WebP or BMP files in one folder per class",
    ),
)
