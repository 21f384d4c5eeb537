"""Images to classify: where they come from, and how workers share them."""

from regtopk_bench.workloads.images.dataset import ImageData, Images, load_images
from regtopk_bench.workloads.images.partition import partition, skew

__all__ = ["ImageData", "Images", "load_images", "partition", "skew"]
