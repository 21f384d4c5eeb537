"""A network of one's own under dense, Top-k and RegTop-k: `python examples/my_network.py`."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import regtopk_bench as rb


def problem(seed: int) -> rb.ModelWorkload:
    """Return the network and the data of a seed, divided among four workers."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
    x = torch.randn(3000, 20)
    y = (x[:, :4].prod(dim=1) + x[:, 4:].sum(dim=1) > 0).long()
    datasets = [(x[worker:2000:4], y[worker:2000:4]) for worker in range(4)]
    test, metrics = (x[2000:], y[2000:]), {"accuracy": rb.accuracy}
    return rb.ModelWorkload(
        network, cross_entropy, datasets, batch=25, test=test, metrics=metrics, seed=seed
    )


if __name__ == "__main__":  # other processes import this file
    sparsifiers = [rb.Dense(), rb.TopK(density=0.01), rb.RegTopK(density=0.01, mu=5.0)]
    options = {"rounds": 300, "learning_rate": 0.2, "evaluate_every": 50}
    print(rb.compare(rb.simulate_seeds(problem, sparsifiers, seeds=range(5), **options)))
