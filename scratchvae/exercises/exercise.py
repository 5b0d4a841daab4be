"""An exercise: its text, its code, and the file that a student gets."""

from dataclasses import dataclass

from scratchvae.exercises.source import Code, Given


@dataclass(frozen=True)
class Exercise:
    """One exercise, declared in one place; its grader is found by its name.

    ``text``: what is to be written and what for; ``hint``: shown when asked for; ``labels``: the
    equations, in docs/derivations.md; ``imports``: what the code needs; ``code``: what is to be
    written, and what is given.
    """

    name: str
    title: str
    text: str
    hint: str
    labels: tuple[str, ...]
    imports: str
    code: tuple[Code, ...]

    def file(self, number: int, solved: bool = False) -> str:
        """The content of the student's file; with the bodies where it is ``solved``."""
        equations = ", ".join(self.labels)
        doc = (
            f'"""{number}. {self.title}\n\n{self.text.strip()}\n\n'
            f"Derived in docs/derivations.md: {equations}.\n"
            f"Grade it: python {file_name(number, self.name)}\n"
            f'Stuck? scratchvae exercises hint {self.name}\n"""'
        )
        parts = [f"{doc}\n\n{self.imports.strip()}", *(c.text(solved) for c in self.code)]
        return "\n\n\n".join([*parts, END])

    def solution(self) -> str:
        """The bodies of what is to be written, as they stand in this package."""
        return "\n\n\n".join(c.text(True) for c in self.code if not isinstance(c, Given)) + "\n"


END = """if __name__ == "__main__":
    from scratchvae.exercises import main

    raise SystemExit(main(__file__))
"""


def file_name(number: int, name: str) -> str:
    """01_dense.py."""
    return f"{number:02}_{name}.py"
