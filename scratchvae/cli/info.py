"""scratchvae info: versions, BLAS, threads, devices and caches of this machine."""

import argparse
import os
import platform

from scratchvae.backend import get_backend, why_no_gpu
from scratchvae.cli.common import Commands, add_output_arguments, print_result
from scratchvae.data import cache_folder
from scratchvae.types import Json
from scratchvae.versions import blas, cores, installed, versions


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="versions, BLAS, threads, devices and caches",
        description="What this machine offers, and why a GPU cannot be used where it cannot.",
        epilog="example:\n  scratchvae info --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Say it."""
    reason = why_no_gpu()
    gpu: Json = {"usable": reason is None, "reason": reason}
    if reason is None:
        gpu |= get_backend("cuda").describe()
    content: Json = {
        "versions": versions() | installed(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "blas": blas(),
        "gpu": gpu,
        "auto": get_backend("auto").name,
        "data": os.environ.get("SCRATCHVAE_DATA"),
        "cache": str(cache_folder()),
    }
    lines = [f"{name:<16}{version}" for name, version in content["versions"].items()]
    lines += [f"{'machine':<16}{content['machine']}, {content['cores']} cores"]
    for pool in content["blas"]:
        lines.append(f"{'BLAS':<16}" + ", ".join(f"{k} {v}" for k, v in pool.items()))
    lines.append(f"{'GPU':<16}{reason or ', '.join(f'{k} {v}' for k, v in gpu.items() if v)}")
    lines.append(f"{'device auto':<16}{content['auto']}")
    lines.append(f"{'data folder':<16}{content['data'] or 'SCRATCHVAE_DATA is not set'}")
    lines.append(f"{'cache folder':<16}{content['cache']}")
    print_result(args.json, content, "\n".join(lines))
    return 0
