"""scratchvae info: versions, BLAS, threads, devices and caches of this machine."""

import argparse
import os
import platform

from scratchvae.backend import get_backend, why_no_gpu
from scratchvae.cli.common import add_output_arguments, print_message, print_result
from scratchvae.cli.parser import Commands, add_command
from scratchvae.data import cache_folder
from scratchvae.types import Json
from scratchvae.versions import blas, cores, installed, versions


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "info",
        run,
        help="show versions, BLAS, threads, devices and caches",
        description="Show what this machine offers, and why a GPU cannot be used if it cannot.",
        examples=["scratchvae info --json"],
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    reason = why_no_gpu()
    gpu: Json = {"usable": reason is None, "reason": reason}
    if reason is None:
        gpu |= get_backend("cuda").describe()
    known, pools = versions() | installed(), blas()
    loops = get_backend("cpu", compiled=True, note=lambda text: print_message(text, args.quiet))
    content: Json = {
        "versions": known,
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "blas": pools,
        "gpu": gpu,
        "compiled": loops.compiled,
        "auto": get_backend("auto").name,
        "data": os.environ.get("SCRATCHVAE_DATA"),
        "cache": str(cache_folder()),
    }
    lines = [f"{name:<16}{version}" for name, version in known.items()]
    lines += [f"{'machine':<16}{content['machine']}, {content['cores']} cores"]
    for pool in pools:
        lines.append(f"{'BLAS':<16}" + ", ".join(f"{k} {v}" for k, v in pool.items()))
    lines.append(f"{'GPU':<16}{reason or ', '.join(f'{k} {v}' for k, v in gpu.items() if v)}")
    how = f"numba {known['numba']}" if loops.compiled else "none: install scratchvae[fast]"
    lines.append(f"{'compiled loops':<16}{how}")
    lines.append(f"{'device auto':<16}{content['auto']}")
    lines.append(f"{'data folder':<16}{content['data'] or 'SCRATCHVAE_DATA is not set'}")
    lines.append(f"{'cache folder':<16}{content['cache']}")
    print_result(args.json, content, "\n".join(lines))
    return 0
