"""Settings: what can be set, where values come from, and which one holds."""

from regtopk_bench.settings.file import SettingsFile, load
from regtopk_bench.settings.resolve import Resolved, continued, flag_name, resolve, variable_name
from regtopk_bench.settings.schema import (
    COMMANDS,
    CifarSettings,
    ComparisonSettings,
    KernelsSettings,
    LinregSettings,
    ReportSettings,
    ToySettings,
)

__all__ = [
    "COMMANDS",
    "CifarSettings",
    "ComparisonSettings",
    "KernelsSettings",
    "LinregSettings",
    "ReportSettings",
    "Resolved",
    "SettingsFile",
    "ToySettings",
    "continued",
    "flag_name",
    "load",
    "resolve",
    "variable_name",
]
