"""scratchvae export: the weights of a run as a safetensors file, with PyTorch's names."""

import argparse
from pathlib import Path

from scratchvae.backend import get_backend
from scratchvae.cli.common import add_output_arguments, print_result
from scratchvae.cli.parser import Commands, add_command
from scratchvae.interop import write_weights
from scratchvae.runs import RunFolder


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "export",
        run,
        help="write the weights of a run as a safetensors file, for PyTorch",
        description="Write the weights of a run as a safetensors file with the names and shapes "
        "of PyTorch's state_dict for the same network. Its metadata describe that network.",
        examples=[
            "scratchvae export runs/digits-1 digits.safetensors",
            "scratchvae evaluate runs/digits-1 --weights digits.safetensors",
        ],
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("file", type=Path, metavar="FILE.safetensors", help="the file to write")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Export as the arguments say."""
    folder = RunFolder.open(args.run)
    config = folder.config()
    model, checkpoint = folder.load(get_backend("cpu", config.dtype))
    tensors = write_weights(args.file, model, config=config, epoch=checkpoint.epoch)
    shapes = {name: list(a.shape) for name, a in tensors.items()}
    content = {"file": str(args.file), "epoch": checkpoint.epoch, "dtype": config.dtype}
    lines = [f"{name:<24}{tuple(shape)}" for name, shape in shapes.items()]
    head = f"{args.file}: {config.dtype}, after epoch {checkpoint.epoch}"
    print_result(args.json, content | {"tensors": shapes}, "\n".join([head, *lines]))
    return 0
