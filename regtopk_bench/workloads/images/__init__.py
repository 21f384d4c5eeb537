"""Image classification: loading images, sharing them among workers, networks to train."""

from regtopk_bench.workloads.images.archive import OnRead
from regtopk_bench.workloads.images.classification import ImageClassification
from regtopk_bench.workloads.images.dataset import ImageData, Images, OnImages, load_images
from regtopk_bench.workloads.images.models import build_model
from regtopk_bench.workloads.images.partition import partition, skew
from regtopk_bench.workloads.images.synthetic import synthetic_images

__all__ = [
    "ImageClassification",
    "ImageData",
    "Images",
    "OnImages",
    "OnRead",
    "build_model",
    "load_images",
    "partition",
    "skew",
    "synthetic_images",
]
