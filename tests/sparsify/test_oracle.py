from __future__ import annotations

import torch

import regtopk_bench as rb


def test_all_send_the_largest_of_the_weighted_mean() -> None:
    weights = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    sparsifier = rb.Oracle(k=2)
    state = sparsifier.init(rb.Placement.alone(3, 10, weights=weights))
    residual = torch.zeros(3, 10, dtype=torch.float64)
    for _ in range(5):
        grad = torch.randn(3, 10, dtype=torch.float64)
        message = sparsifier.compress(state, grad)
        mean = ((residual + grad) * weights[:, None]).sum(dim=0).abs()
        assert message.indices[0].tolist() == sorted(mean.topk(2).indices.tolist())
        assert bool((message.indices == message.indices[0]).all())
        residual = (residual + grad).scatter(1, message.indices, 0.0)
