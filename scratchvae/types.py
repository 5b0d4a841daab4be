"""Names of types that all parts of the package use."""

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]  # an object as JSON holds it
JsonView = Mapping[str, Any]  # the same, for reading only
Values = Any  # an array, or what becomes one: a list, a data frame, a tensor of another library
Function = Callable[..., Any]  # with any parameters
