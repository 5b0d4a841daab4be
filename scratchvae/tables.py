"""Names in settings: each stands in a table of this package, or is ``module:Class`` of your own.

A layer, likelihood, estimator or optimizer is one class in one file and one line in its folder's
table. Configuration and command line ask the table which names there are, and the class what it
needs. A class of your own needs no line: settings name its module and the class, and the command
line names a study of your own in the same way. docs/extending.md has an example of each.
"""

import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeVar

from scratchvae.errors import ConfigError, OwnClassError, did_you_mean

T = TypeVar("T")

own_names: set[str] = set()  # every module:attribute that has been named


def look_up(kind: str, name: str, table: Mapping[str, type[T]], base: type[T]) -> type[T]:
    """The class that settings call ``name``.

    ``kind`` says in the message what is looked for. Raises ``ConfigError`` for a name that is not
    in the table, ``OwnClassError`` for one of no subclass of ``base`` in a module that can be
    imported.
    """
    if isinstance(name, str):
        if name in table:
            return table[name]
        if ":" in name:
            return _import_class(kind, name, base)
    meant = did_you_mean(str(name), table)
    if isinstance(name, str) and "." in name.strip("."):
        meant = f" Did you mean {':'.join(name.rsplit('.', 1))!r}?"
    raise ConfigError(
        f"{kind} is {name!r}, but it must be one of {', '.join(table)}, or module:Class of your "
        f"own{meant and '.' + meant}"
    )


def _import_class(kind: str, name: str, base: type[T]) -> type[T]:
    found = import_own(kind, name)
    if not (isinstance(found, type) and issubclass(found, base)):
        module, _, attribute = name.partition(":")
        what = "is not there" if found is None else f"is not a subclass of {base.__name__}"
        raise OwnClassError(
            f"{kind} {name!r}: {attribute or 'a class'} {what} in the module {module}; "
            f"write module:Class, with a class that derives from {base.__module__}.{base.__name__}"
        )
    return found


def import_own(kind: str, name: str) -> object:
    """What ``name``, module:attribute of the user's own, stands for; None if it is not there.

    ``kind`` says in messages what is looked for. Raises ``OwnClassError`` for a module that cannot
    be imported.
    """
    module, _, attribute = name.partition(":")
    here = "" not in sys.path  # a command does not search the folder that it is called from
    if here:
        sys.path.insert(0, "")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        remedy = _remedy(module, attribute, error)
        raise OwnClassError(
            f"{kind} {name!r}: the module cannot be imported ({error}){remedy}"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise OwnClassError(f"{kind} {name!r}: importing the module fails ({reason})") from error
    finally:
        if here:
            sys.path.remove("")
    own_names.add(name)
    return found


def _remedy(module: str, attribute: str, error: ImportError) -> str:
    """What to do about a module that is not found; "" for one that imports what is not there."""
    if module.endswith(".py"):
        return f". Did you mean {module[:-3]}:{attribute}?"
    top = module.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or error.name != top:
        return ""
    return f": go to the folder that {top}.py is in, or add that folder to PYTHONPATH"


def instantiate(kind: str, name: str, make: Callable[..., T], **settings: object) -> T:
    """``make(**settings)``; ``ConfigError`` where a class of your own does not take them."""
    try:
        return make(**settings)
    except TypeError as error:
        given = f"with {' and '.join(settings)}" if settings else "without arguments"
        raise ConfigError(
            f"{kind} {name!r}: settings make it {given}, but {error}; let its __init__ take "
            "these, with defaults for the rest"
        ) from error


def blamed(error: BaseException) -> str | None:
    """The classes and studies of your own in use, and where one failed; None if there are none.

    For an error that this package does not raise on purpose.
    """
    if not own_names:
        return None
    modules = {name.partition(":")[0] for name in own_names}
    where = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") in modules:
            where = f"in {frame.f_code.co_qualname}, {frame.f_code.co_filename}, line {line}"
    return where or f"while {', '.join(sorted(own_names))} was in use"
