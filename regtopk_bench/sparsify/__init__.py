"""Gradient sparsifiers: one idea per file, all behind the three verbs of `base`."""

from regtopk_bench.sparsify.base import Alone, Peers, SparseGradient, Sparsifier
from regtopk_bench.sparsify.dense import Dense
from regtopk_bench.sparsify.oracle import Oracle
from regtopk_bench.sparsify.per_layer import PerLayer
from regtopk_bench.sparsify.randomk import RandomK
from regtopk_bench.sparsify.registry import ALGORITHMS, Algorithm, algorithm
from regtopk_bench.sparsify.regtopk import RegTopK
from regtopk_bench.sparsify.topk import TopK

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Alone",
    "Dense",
    "Oracle",
    "Peers",
    "PerLayer",
    "RandomK",
    "RegTopK",
    "SparseGradient",
    "Sparsifier",
    "TopK",
    "algorithm",
]
