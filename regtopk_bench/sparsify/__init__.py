"""Gradient sparsifiers: one idea per file, all behind the three verbs of `base`."""

from regtopk_bench.sparsify.base import Sparsifier
from regtopk_bench.sparsify.catalogue import (
    make,
    name_of_class,
    sparsifier_class,
    takes_density,
)
from regtopk_bench.sparsify.dense import Dense
from regtopk_bench.sparsify.error_feedback import ErrorFeedback, ErrorFeedbackSparsifier
from regtopk_bench.sparsify.oracle import Oracle
from regtopk_bench.sparsify.per_layer import PerLayer
from regtopk_bench.sparsify.placement import Placement, check_shapes, check_shares
from regtopk_bench.sparsify.randomk import RandomK
from regtopk_bench.sparsify.record import record
from regtopk_bench.sparsify.regtopk import RegTopK
from regtopk_bench.sparsify.state import State, restarting, unsaved
from regtopk_bench.sparsify.topk import TopK

__all__ = [
    "Dense",
    "ErrorFeedback",
    "ErrorFeedbackSparsifier",
    "Oracle",
    "PerLayer",
    "Placement",
    "RandomK",
    "RegTopK",
    "Sparsifier",
    "State",
    "TopK",
    "check_shapes",
    "check_shares",
    "make",
    "name_of_class",
    "record",
    "restarting",
    "sparsifier_class",
    "takes_density",
    "unsaved",
]
