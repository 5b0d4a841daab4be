"""What a replay says: which array was first, how its forerunners grew, whether float64 copes."""

from dataclasses import dataclass
from typing import Any

from scratchvae.training.nonfinite.locate import rerun
from scratchvae.training.nonfinite.replay import Replay
from scratchvae.training.nonfinite.trace import Sight, Watch

FORERUNNERS = 6  # arrays shown before the first bad one


@dataclass(frozen=True)
class Diagnosis:
    """A replayed step in its own float type and, where that is float32, in float64."""

    replay: Replay
    native: Watch
    precise: Watch | None

    @property
    def found(self) -> Sight | None:
        """The first array that holds an infinity or NaN, in the run's float type."""
        return self.native.found

    def about_float64(self) -> str:
        """Whether the float type is to blame, in words."""
        if self.found is None:
            return ""
        if self.precise is None:
            return "the run computes in float64 already"
        if self.precise.found is None:
            return "in float64 every array is finite: the numbers are too large for float32"
        if self.precise.found.name == self.found.name:
            return "in float64 the same array is the first: precision is not the reason"
        labels = in_brackets(self.precise.found)
        return f"in float64 the first is {self.precise.found.name}{labels}"

    def advice(self) -> str:
        """What to try."""
        if self.found is None:
            return (
                "run again by one worker on this CPU, every array is finite: the order of a sum "
                "decided (other workers, BLAS or device); try a smaller learning rate"
            )
        if self.found.name == "the images":
            image = self.found.first[0]
            return f"look at the data: image {image} of this batch holds what is not a number"
        if self.found.place.startswith("a parameter"):
            return (
                "the update before this step left it: try a smaller learning rate, or a clipped "
                "gradient (--clip 1)"
            )
        if self.precise is not None and self.precise.found is None:
            return (
                "try a smaller learning rate or a clipped gradient (--clip 1), which keep the "
                "numbers small, or --dtype float64, which has room for larger ones"
            )
        return (
            "try a smaller learning rate or a clipped gradient (--clip 1); for a Gaussian a larger "
            "--std, or pixels scaled to [0, 1]"
        )

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {
            "kind": self.replay.kind,
            "where": self.replay.where,
            "epoch": self.replay.epoch,
            "step": self.replay.step,
            "dtype": self.replay.settings().dtype,
            "images": len(self.replay.x),
            "found": None if self.found is None else as_json(self.found),
            "before": [as_json(s) for s in self.native.before],
            "float64": self.about_float64(),
            "float64_found": (
                None if self.precise is None or self.precise.found is None
                else as_json(self.precise.found)
            ),
            "advice": self.advice(),
        }  # fmt: skip

    def text(self) -> str:
        """The same for people: the array, its forerunners, what to try."""
        config = self.replay.settings()
        lines = [
            f"{self.replay.where}: {len(self.replay.x)} images, {config.dtype}, "
            f"{config.describe_model(self.replay.pixels)}",
        ]
        if (found := self.found) is not None:
            lines += [
                f"first not finite: {found.name}{in_brackets(found)}",
                f"  {found.place}, shape {found.shape}",
                f"  {found.bad} of {found.size} entries; the first at {found.first}: "
                f"{found.value}; the largest finite one: {found.largest:.3g}",
            ]
        shown = self.native.before[-FORERUNNERS:]
        if shown:
            lines.append("largest magnitudes before it:" if found else "largest magnitudes:")
            width = max(len(s.name) for s in shown)
            lines += [
                f"  {s.largest:10.3g}  {s.name:<{width}}  {', '.join(s.equations)}".rstrip()
                for s in shown
            ]
        return "\n".join([*lines, *filter(None, (self.about_float64(), self.advice()))])


def diagnose(replay: Replay) -> Diagnosis:
    """Run the step again, in the run's float type and in float64."""
    dtype = replay.settings().dtype
    native = rerun(replay, dtype)
    return Diagnosis(replay, native, None if dtype == "float64" else rerun(replay, "float64"))


def in_brackets(sight: Sight) -> str:
    """The equations' labels behind a name."""
    return f" ({', '.join(sight.equations)})" if sight.equations else ""


def as_json(sight: Sight) -> dict[str, Any]:
    """A sight as a dictionary; an infinity or NaN as text, which JSON has no number for."""
    return sight._asdict() | {"value": str(sight.value)}
