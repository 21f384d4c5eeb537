"""Workloads: the problems that workers solve together."""

from regtopk_bench.workloads.base import Workload
from regtopk_bench.workloads.linear_regression import LinearRegression
from regtopk_bench.workloads.logistic_toy import LogisticToy

__all__ = ["LinearRegression", "LogisticToy", "Workload"]
