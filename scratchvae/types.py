"""Names of types that all parts of the package use."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

Json = dict[str, Any]  # an object as JSON holds it
JsonView = Mapping[str, Any]  # the same, for reading only
Values = Any  # an array, or what becomes one: a list, a data frame, a tensor of another library
Function = Callable[..., Any]  # with any parameters
Item = TypeVar("Item")
Result = TypeVar("Result")


class Over(Protocol):
    """The built-in map, or one that divides the items among processes."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item], /
    ) -> Iterable[Result]: ...
