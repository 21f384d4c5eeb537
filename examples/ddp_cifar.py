"""CIFAR images under DistributedDataParallel, with gradients sent whole or compressed.

    torchrun --nproc-per-node 2 examples/ddp_cifar.py --hook regtopk --density 0.01

What a plain DDP script does not have are `compress`, and the state's lines in checkpoints: with
`--checkpoint FOLDER` a run saves every 100 rounds, and goes on from there when it is started again.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from regtopk_bench import RegTopK, TopK
from regtopk_bench.distributed import SparseState, sparse_hook
from regtopk_bench.workloads import images

SAVE_EVERY = 100


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    hooks = ["dense", "topk", "regtopk", "powersgd", "fp16"]
    parser.add_argument("--hook", choices=hooks, default="regtopk")
    parser.add_argument("--density", type=float, default=0.01, help="fraction of entries sent")
    parser.add_argument("--scope", choices=["bucket", "global"], default="bucket")
    parser.add_argument("--encoding", choices=["coordinates", "compact"], default="coordinates")
    parser.add_argument("--dense-start", type=int, default=0, help="rounds before compression")
    parser.add_argument(
        "--data", default="cifar10", help='"cifar10", "synthetic", or a folder or archive of images'
    )
    parser.add_argument("--model", default="cnn", help="cnn, resnet18, or one of torchvision's")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--batch", type=int, default=32, help="images per rank and round")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--checkpoint", type=Path, help="folder to save in, and to go on from")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def load(source):
    if source == "synthetic":
        return images.synthetic_images()
    path = None if source == "cifar10" else Path(source)
    if dist.get_rank():
        dist.barrier()  # the first rank fetches and unpacks, the others find it in the cache
    data = images.load_images(path, Path(".cache"))
    if not dist.get_rank():
        dist.barrier()
    return data


def compress(model, options):
    """Register the hook; return its state, if it has one that is worth saving."""
    if options.hook in ("topk", "regtopk"):
        sparsifier = {"topk": TopK, "regtopk": RegTopK}[options.hook](density=options.density)
        state = SparseState(
            sparsifier,
            start_iteration=options.dense_start,
            scope=options.scope,
            encoding=options.encoding,
            model=model.module,
        )
        model.register_comm_hook(state, sparse_hook)
        return state
    if options.hook == "powersgd":
        start = max(2, options.dense_start)  # it cannot start earlier
        model.register_comm_hook(PowerSGDState(None, start_powerSGD_iter=start), powerSGD_hook)
    elif options.hook == "fp16":
        model.register_comm_hook(None, fp16_compress_hook)
    return None


def batch_of(part, indices, device):
    pixels = part.pixels_NCHW[indices].to(device)
    return (pixels.float() - 120.0) / 65.0, part.labels_N[indices].to(device)


@torch.no_grad()
def accuracy(network, test, device):
    """Return how many images in % are classified correctly; each rank tests some."""
    right = torch.zeros((), device=device)
    network.eval()
    for indices in torch.arange(dist.get_rank(), len(test), dist.get_world_size()).split(500):
        x, y = batch_of(test, indices, device)
        right += (network(x).argmax(dim=1) == y).sum()
    dist.all_reduce(right)
    return 100.0 * right.item() / len(test)


def train(data, options):
    """Train; return the test accuracy in %, seconds, and what compression saved."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", rank % gpus) if gpus else torch.device("cpu")
    torch.manual_seed(options.seed)
    network = images.build_model(options.model, classes=len(data.classes), side=data.side)
    model = DistributedDataParallel(network.to(device))
    state = compress(model, options)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.learning_rate, momentum=0.9)
    first, file = 0, options.checkpoint and options.checkpoint / f"{rank}-of-{ranks}.pt"
    if file and file.exists():
        saved = torch.load(file, map_location=device, weights_only=True)
        first = saved["rounds"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        if state:
            state.load_state_dict(saved["compression"])
    start = time.perf_counter()
    for done in range(first, options.rounds):
        draw = torch.Generator().manual_seed((options.seed * 10**6 + done) * ranks + rank)
        indices = torch.randint(len(data.train), (options.batch,), generator=draw)
        x, y = batch_of(data.train, indices, device)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if file and (done + 1) % SAVE_EVERY == 0:
            content = {
                "rounds": done + 1,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "compression": state.state_dict() if state else None,
            }
            options.checkpoint.mkdir(parents=True, exist_ok=True)
            torch.save(content, file)
    seconds = time.perf_counter() - start
    return accuracy(network, data.test, device), seconds, state and state.statistics


if __name__ == "__main__":
    options = parse()
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    reached, seconds, saved = train(load(options.data), options)
    if dist.get_rank() == 0:
        fewer = f", {saved.rate:.0f} times fewer bytes" if saved else ""
        print(f"{options.hook}: {reached:.2f} % in {options.rounds} rounds, {seconds:.1f} s{fewer}")
    dist.destroy_process_group()
