"""The training loop and its inputs."""

from regtopk_bench.training.checkpoint import Checkpoints
from regtopk_bench.training.recipe import Recipe
from regtopk_bench.training.restarts import RESTARTS, Restarts
from regtopk_bench.training.rounds import RoundInfo
from regtopk_bench.training.schedule import Schedule
from regtopk_bench.training.simulation import simulate

__all__ = ["RESTARTS", "Checkpoints", "Recipe", "Restarts", "RoundInfo", "Schedule", "simulate"]
