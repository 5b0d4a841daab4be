"""Names of types that all parts of the package use."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Json = dict[str, Any]  # an object as JSON holds it
JsonView = Mapping[str, Any]  # the same, for reading only
Values = Any  # an array, or what becomes one: a list, a data frame, a tensor of another library
Function = Callable[..., Any]  # with any parameters
# The built-in map, or one that divides the items among processes.
Over = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
