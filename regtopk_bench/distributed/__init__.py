"""Sparsified gradients in training with torch.distributed, for every sparsifier of the package.

```python
state = SparseState(RegTopK(density=0.01), model=model)
model = DistributedDataParallel(model)
model.register_comm_hook(state, sparse_hook)
```

Without DDP, `compress_gradients`; between replicas of FSDP2, `compress_replicas`.
"""

from regtopk_bench.distributed.gradients import compress_gradients
from regtopk_bench.distributed.hook import sparse_hook
from regtopk_bench.distributed.replicas import compress_replicas
from regtopk_bench.distributed.state import SparseState
from regtopk_bench.distributed.statistics import Statistics

__all__ = ["SparseState", "Statistics", "compress_gradients", "compress_replicas", "sparse_hook"]
