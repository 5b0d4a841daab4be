"""Everything that a run leaves on disk: settings, numbers, checkpoints, reconstructions."""

from scratchvae.runs.checkpoint import Checkpoint, load_checkpoint
from scratchvae.runs.folder import RunFolder, numbered_folder, require_free, write_json
from scratchvae.runs.metrics import best_of, how_it_ended
from scratchvae.runs.snapshots import Snapshots
from scratchvae.runs.verify import VerificationReport, verify_run

__all__ = [
    "Checkpoint",
    "RunFolder",
    "Snapshots",
    "VerificationReport",
    "best_of",
    "how_it_ended",
    "load_checkpoint",
    "numbered_folder",
    "require_free",
    "verify_run",
    "write_json",
]
