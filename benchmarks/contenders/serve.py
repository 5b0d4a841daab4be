"""The process of one contender: ``python -m benchmarks.contenders.serve NAME``, spoken to by pipes.

A line of JSON comes in and a line of JSON goes out. The first line is the job; then ``{"do":
"run", "n": 100}`` asks for steps, ``check`` for the comparison, ``describe`` for the process's
threads, libraries and memory, and ``quit``, or the end of the input, ends it. Any other name is a
method of the contender's own. What a library prints goes to standard error.
"""

import importlib
import json
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.contenders.clocks import Wall

MODULES = {
    "ours": "benchmarks.contenders.ours",
    "compiled": "benchmarks.contenders.ours",
    "torch": "benchmarks.contenders.torch_eager",
    "compile": "benchmarks.contenders.torch_compile",
    "graph": "benchmarks.contenders.torch_graph",
    "jax": "benchmarks.contenders.jax_scan",
    "floor": "benchmarks.contenders.floor",
    "evaluate-ours": "benchmarks.contenders.evaluate_ours",
    "evaluate-compiled": "benchmarks.contenders.evaluate_ours",
    "evaluate-torch": "benchmarks.contenders.evaluate_torch",
    "adam-ours": "benchmarks.contenders.adam_ours",
    "adam-compiled": "benchmarks.contenders.adam_ours",
    "adam-torch": "benchmarks.contenders.adam_torch",
}
PEERS = ("torch", "jax", "jaxlib", "numba")  # packages that need not be there


def memory(contender: Any) -> dict[str, int]:
    """Bytes: ``peak`` is the largest resident set so far, ``own`` what is no file's page now.

    To both is added what processes that share a contender's work have for themselves. Not
    ``ru_maxrss`` where it can be helped: that one remembers the process that forked us.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "own": 0}
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    size = {name: 1024 * int(fields[name].split()[0]) for name in ("VmHWM", "RssAnon")}
    others = contender.workers_memory() if hasattr(contender, "workers_memory") else 0
    return {"peak": size["VmHWM"] + others, "own": size["RssAnon"] + others}


def wide_vectors() -> dict[str, bool]:
    """Which libraries of this process would use AVX-512, as far as they say."""
    from numpy._core._multiarray_umath import __cpu_features__  # type: ignore

    from scratchvae.versions import kernel

    found = {
        "numpy": any(__cpu_features__.get(name) for name in ("X86_V4", "AVX512_SKX")),
        "openblas": kernel()["kernel"] not in ("Haswell", "Zen"),
    }
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].backends.cpu.get_cpu_capability() == "AVX512"
    if "scratchvae.backend.compiled" in sys.modules:
        codes = sys.modules["scratchvae.backend.loops"].adam_loop.inspect_asm().values()
        found["numba"] = any("zmm" in code or "{%k" in code for code in codes)
    return found


def describe(contender: Any) -> dict[str, Any]:
    """What the numbers of this process were obtained with."""
    from scratchvae.versions import blas

    packages = {}
    for name in ("numpy", *PEERS):
        if name in sys.modules:
            packages[name] = metadata.version(name)
    tried = getattr(contender, "tried", {})
    return {
        "variant": contender.variant,
        "granularity": contender.granularity,
        "versions": packages,
        "blas": blas(),
        "wide_vectors": wide_vectors(),
        "memory": memory(contender),
        "tried_ms": {name: 1e3 * min(seconds) for name, seconds in tried.items()},
    }


def answer(contender: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Do what a line asks for."""
    do = request.pop("do")
    if do == "run":
        clock = getattr(contender, "clock", Wall)()
        loss = contender.run(request["n"])
        return {"seconds": clock.seconds(), "loss": loss}
    if do == "describe":
        return describe(contender)
    if do == "check":
        import numpy as np

        with np.load(request["file"]) as file:
            checked = contender.check(file["index"], file["eps"])
        named = {f"grads/{name}": a for name, a in checked.grads.items()}
        named |= {f"updated/{name}": a for name, a in checked.updated.items()}
        np.savez(request["out"], loss=checked.loss, **named)
        return {}
    method: dict[str, Any] = getattr(contender, do)(request)
    return method


def main() -> None:
    """Serve until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # from here on, prints are no answers

    def reply(content: dict[str, Any]) -> None:
        out.write(json.dumps(content) + "\n")
        out.flush()

    settings = json.loads(sys.stdin.readline())
    affinity = settings.pop("affinity")
    if affinity and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, affinity)  # before any library counts the cores
    try:
        module = importlib.import_module(MODULES[sys.argv[1]])
        from benchmarks.contenders.common import Job

        contender = module.Contender(Job.from_json(settings))
        reply(describe(contender))
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "quit":
                return
            reply(answer(contender, request))
    except ModuleNotFoundError as error:
        if error.name in PEERS:
            reply({"missing": f"{error.name} is not installed"})
        else:
            reply({"error": repr(error), "traceback": traceback.format_exc()})
    except Exception as error:
        reply({"error": repr(error), "traceback": traceback.format_exc()})


if __name__ == "__main__":
    main()
