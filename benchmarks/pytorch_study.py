"""The study `pytorch` run in PyTorch itself: same model, data and settings. Takes a minute.

    SCRATCHVAE_DATA=… python -m benchmarks.pytorch_study [--seeds 3] [--json FILE]

784-512-512-16 with ReLU and PyTorch's default initial weights, Bernoulli on grey pixels, the
Monte-Carlo KL of one sample, Adam 1e-3, batches of 16, 50 epochs of the 500 images that the study
names. Losses as defined here, in nats per image; the tutorial's own formula is 13.78 lower. The
test loss is that of `scratchvae evaluate`: reconstruction at one sample, analytic KL.
"""

import argparse
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.harness import own_conditions, write_json
from scratchvae.data import load_dataset, select
from scratchvae.studies import find_study


def run(seed: int, train: Any, test: Any) -> tuple[float, float]:
    """Losses of the last epoch: on the training batches before each update, and on the test set."""
    import torch
    from torch import nn

    config = find_study("pytorch").config
    torch.manual_seed(seed)
    h, z_dim = config.hidden, config.latent_dim
    encoder = nn.Sequential(nn.Linear(784, h[0]), nn.ReLU(), nn.Linear(h[0], h[1]), nn.ReLU(),
                            nn.Linear(h[1], 2 * z_dim))  # fmt: skip
    decoder = nn.Sequential(nn.Linear(z_dim, h[1]), nn.ReLU(), nn.Linear(h[1], h[0]), nn.ReLU(),
                            nn.Linear(h[0], 784))  # fmt: skip
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=float(config.lr))
    x_train, x_test = torch.from_numpy(train), torch.from_numpy(test)

    def nll(x: Any) -> tuple[Any, ...]:
        mu, logvar = encoder(x).chunk(2, dim=1)
        eps = torch.randn_like(mu)
        z = mu + torch.exp(0.5 * logvar) * eps
        loss = nn.functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="none").sum(
            1
        )
        return loss, mu, logvar, z, eps

    for _ in range(config.epochs):
        total = 0.0
        for index in torch.randperm(len(x_train)).split(config.batch_size):
            loss, _, logvar, z, eps = nll(x_train[index])
            kl = 0.5 * (z * z - eps * eps - logvar).sum(1)  # log q(z|x) − log p(z)
            adam.zero_grad()
            (loss + kl).mean().backward()
            adam.step()
            total += float((loss + kl).detach().sum())
    with torch.no_grad():
        loss, mu, logvar, _, _ = nll(x_test)
        kl = 0.5 * (mu * mu + logvar.exp() - 1 - logvar).sum(1)
        return total / len(x_train), float((loss + kl).mean())


def main() -> None:
    """Run the seeds and print the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    study = find_study("pytorch")
    data = select(load_dataset(study.config.data), study.config.subset)
    losses = [run(s, data.train.values(), data.test.values()) for s in range(args.seeds)]
    rows = {}
    for name, values in zip(("train_loss", "test_loss"), zip(*losses, strict=True), strict=True):
        error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        rows[name] = {"mean": fmean(values), "standard_error": error, "values": values}
        print(f"{name:<12}{fmean(values):8.2f} ± {error or math.nan:.2f}   its formula: "
              f"{fmean(values) - study.offset:.2f}")  # fmt: skip
    if args.json:
        import torch

        about = own_conditions()
        about["versions"]["torch"] = torch.__version__
        write_json(args.json, about | {"rows": rows})


if __name__ == "__main__":
    main()
