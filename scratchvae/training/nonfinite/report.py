"""A step run again from its replay file: the first bad array, what came before it, what to do."""

from dataclasses import dataclass

from scratchvae.backend import get_backend
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.training.nonfinite.locate import data_advice
from scratchvae.training.nonfinite.replay import EVALUATION, Replay
from scratchvae.training.nonfinite.trace import ArrayRecord, StepTrace
from scratchvae.types import Json

PREDECESSORS = 6  # arrays shown before the first one that is not finite


@dataclass(frozen=True)
class ReplayReport:
    """A replayed step, traced in the float type of the run and, if that differs, in float64."""

    replay: Replay
    native: StepTrace
    precise: StepTrace | None

    @property
    def first_nonfinite(self) -> ArrayRecord | None:
        """The first array with an infinity or NaN, in the float type of the run, or None."""
        return self.native.first_nonfinite

    def about_float64(self) -> str:
        """A sentence on whether the float type is the cause; "" if every array is finite."""
        if self.first_nonfinite is None:
            return ""
        if self.precise is None:
            return "the run computes in float64 already"
        if self.precise.first_nonfinite is None:
            return "in float64 every array is finite: the numbers are too large for float32"
        if self.precise.first_nonfinite.name == self.first_nonfinite.name:
            return "in float64 the same array is the first: precision is not the cause"
        labels = in_brackets(self.precise.first_nonfinite)
        return f"in float64 the first is {self.precise.first_nonfinite.name}{labels}"

    def advice(self) -> str:
        """What to try, in a sentence."""
        if self.first_nonfinite is None:
            return (
                "run again by one worker on this CPU, every array is finite: it depended on the "
                "order of a sum (the number of workers, BLAS, the device); try a smaller learning "
                "rate"
            )
        if advice := data_advice(self.replay.x):
            return advice
        if self.first_nonfinite.place.startswith("a parameter"):
            return (
                "the update before this step wrote it: try a smaller learning rate, or a clipped "
                "gradient (--clip 1)"
            )
        if self.precise is not None and self.precise.first_nonfinite is None:
            return (
                "try a smaller learning rate or a clipped gradient (--clip 1), which keep the "
                "numbers small, or --dtype float64, which has room for larger ones"
            )
        return (
            "try a smaller learning rate or a clipped gradient (--clip 1); for a Gaussian, a "
            "larger --std"
        )

    def to_json(self) -> Json:
        """The report as a dictionary that JSON can hold (``scratchvae replay --json``)."""
        return {
            "kind": self.replay.kind,
            "where": self.replay.where,
            "epoch": self.replay.epoch,
            "step": self.replay.step,
            "dtype": self.replay.settings().dtype,
            "images": len(self.replay.x),
            "found": None if self.first_nonfinite is None else as_json(self.first_nonfinite),
            "before": [as_json(s) for s in self.native.before],
            "float64": self.about_float64(),
            "float64_found": (
                None if self.precise is None or self.precise.first_nonfinite is None
                else as_json(self.precise.first_nonfinite)
            ),
            "advice": self.advice(),
        }  # fmt: skip

    def text(self) -> str:
        """The report as text: the array, the arrays before it, what to try."""
        config = self.replay.settings()
        lines = [
            f"{self.replay.where}: {len(self.replay.x)} images, {config.dtype}, "
            f"{self.replay.by_hand or config.describe_model(self.replay.pixels)}",
        ]
        if (found := self.first_nonfinite) is not None:
            lines += [
                f"first not finite: {found.name}{in_brackets(found)}",
                f"  {found.place}, shape {found.shape}",
                f"  {found.bad} of {found.size} entries; the first at {found.first}: "
                f"{found.value}; the largest finite one: {found.largest:.3g}",
            ]
        shown = self.native.before[-PREDECESSORS:]
        if shown:
            lines.append("largest magnitudes before it:" if found else "largest magnitudes:")
            width = max(len(s.name) for s in shown)
            lines += [
                f"  {s.largest:10.3g}  {s.name:<{width}}  {', '.join(s.equations)}".rstrip()
                for s in shown
            ]
        return "\n".join([*lines, *filter(None, (self.about_float64(), self.advice()))])


def run_again(replay: Replay) -> ReplayReport:
    """Run the step of a replay file again, in the float type of the run and in float64."""
    dtype = replay.settings().dtype
    native = rerun(replay, dtype)
    return ReplayReport(replay, native, None if dtype == "float64" else rerun(replay, "float64"))


def rerun(replay: Replay, dtype: str) -> StepTrace:
    """Run the step of a replay file on this machine's CPU in ``dtype``; returns its trace.

    If the infinity arose in the update, the update is run too, from the recorded gradient.
    """
    bk, vae = get_backend("cpu", dtype), replay.vae()
    params, grads = FlatBuffer(bk, vae.layout), FlatBuffer(bk, vae.layout)
    params.load(replay.params)
    bound = vae.bind(Workspace(bk, len(replay.x)), params, grads)
    bk.load(replay.x, bound.x)
    bk.load(replay.eps, bound.eps)
    trace = StepTrace(bk)
    trace.inputs(bound, params)
    if replay.kind == EVALUATION:
        trace.loss(bound, replay.beta)
        return trace
    trace.gradient(bound, replay.weight, replay.beta)
    if replay.gradient is not None:
        rule = replay.optimizer or replay.settings().make_optimizer()
        optimizer = rule.bind(bk, params, grads)
        for name, moment in optimizer.state.items():
            moment.load(replay.moments[name])
        grads.load(replay.gradient)
        trace.update(optimizer, params, grads, replay.step)
    return trace


def in_brackets(record: ArrayRecord) -> str:
    """The equation labels of a record, to follow its name: " (E2, E16)", or ""."""
    return f" ({', '.join(record.equations)})" if record.equations else ""


def as_json(record: ArrayRecord) -> Json:
    """A record as a dictionary; infinity and NaN become strings, since JSON has no such numbers."""
    return record._asdict() | {"value": str(record.value)}
