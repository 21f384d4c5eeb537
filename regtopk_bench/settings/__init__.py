"""Settings: what can be set, where values come from, and which one takes precedence."""

from regtopk_bench.settings.claim import Claim
from regtopk_bench.settings.commands import (
    COMMANDS,
    WORKLOADS,
    CifarSettings,
    ComparisonSettings,
    CostSettings,
    KernelsSettings,
    LinregSettings,
    ToySettings,
    decides,
)
from regtopk_bench.settings.declare import Declaration, declarations
from regtopk_bench.settings.file import Profile, SettingsFile, load
from regtopk_bench.settings.gate import BaselineSettings, CheckSettings, DoctorSettings
from regtopk_bench.settings.report import (
    FORMATS,
    PLOT_FORMATS,
    PLOT_WIDTHS,
    FormatSettings,
    ReportSettings,
    SavedSettings,
    plot_format_of,
)
from regtopk_bench.settings.resolve import Resolved, flag_name, resolve, resumed, variable_name
from regtopk_bench.settings.values import as_json, as_text, from_json

__all__ = [
    "COMMANDS",
    "FORMATS",
    "PLOT_FORMATS",
    "PLOT_WIDTHS",
    "WORKLOADS",
    "BaselineSettings",
    "CheckSettings",
    "CifarSettings",
    "Claim",
    "ComparisonSettings",
    "CostSettings",
    "Declaration",
    "DoctorSettings",
    "FormatSettings",
    "KernelsSettings",
    "LinregSettings",
    "Profile",
    "ReportSettings",
    "Resolved",
    "SavedSettings",
    "SettingsFile",
    "ToySettings",
    "as_json",
    "as_text",
    "decides",
    "declarations",
    "flag_name",
    "from_json",
    "load",
    "plot_format_of",
    "resolve",
    "resumed",
    "variable_name",
]
