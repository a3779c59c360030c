"""Methods: functions of (inputs, parameters, run) that return raw scores. Importing this imports no torch."""

from __future__ import annotations

from ..parameters import Parameter, param
from .catalogue import list_methods
from .info import MethodInfo

__all__ = ["MethodInfo", "Parameter", "list_methods", "param"]
