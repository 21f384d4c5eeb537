"""What workers send: kinds of messages, their size on the wire, and their exchange."""

from regtopk_bench.messages.base import Message
from regtopk_bench.messages.concatenated import Concatenated
from regtopk_bench.messages.dense import DenseGradient
from regtopk_bench.messages.encoding import Encoding
from regtopk_bench.messages.exchange import Alone, Peers, aggregate, gather, join
from regtopk_bench.messages.sparse import SparseGradient, bytes_of_nonzero
from regtopk_bench.messages.wire import pack, unpack

__all__ = [
    "Alone",
    "Concatenated",
    "DenseGradient",
    "Encoding",
    "Message",
    "Peers",
    "SparseGradient",
    "aggregate",
    "bytes_of_nonzero",
    "gather",
    "join",
    "pack",
    "unpack",
]
