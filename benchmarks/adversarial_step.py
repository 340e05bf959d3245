"""Seconds per step of pix2pix or CycleGAN through model and trainer, beside a bare loop of the same computation.

The bare loop has the same networks, objective, loss, optimizers and pool, written out as a paper's code would. The two
alternate step by step, see `training_step.py`. The aim is a ratio of at most 1.05.

    python benchmarks/adversarial_step.py --model pix2pix
    python benchmarks/adversarial_step.py --model cyclegan
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
from typing import Any

import pytorch_lightning as pl
import torch
from training_step import WARM_UP, BareStep, Batch, alternate

from im2im_core.build import build_model, call_factory
from im2im_core.config import resolve
from im2im_core.registry import Registry

WEIGHTS = {"pix2pix": "model.reconstruction_weight=100", "cyclegan": "model.identity_weight=5"}
RANGES = {"pix2pix": [], "cyclegan": ["model.image_range=[[0,1]]", "model.pool_size=8"]}


def built(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model with its defaults at a smaller width, and its configuration."""
    assignments = ["model.target_range=[[0,1]]", WEIGHTS[options.model], *RANGES[options.model]]
    assignments += [f"network.features={options.width}", f"discriminator.features={options.width}"]
    flags = {"model": {"name": options.model}, "dataset": {"path": "."}}
    config = resolve(Registry.discover(), flags=flags, assignments=assignments)
    config = dataclasses.replace(config, scheduler=None)
    return build_model(config, spatial_dims=2, in_channels=1, target_channels=1, training=True), config


def bare_pix2pix(model: Any, make_optimizer: Any, device: torch.device) -> BareStep:
    """Least squares and L1, one step of each side."""
    network, judge = model.network, model.discriminator
    of_network, of_judge = make_optimizer(network.parameters()), make_optimizer(judge.parameters())

    def step(batch: Batch) -> None:
        image, target = batch["image"].to(device), batch["target"].to(device)
        generated = network(image)
        of_judge.zero_grad()
        real, fake = (verdict(judge, torch.cat([image, x], 1)) for x in (target, generated.detach()))
        ((real - 1).square().mean() / 2 + fake.square().mean() / 2).backward()
        of_judge.step()
        of_network.zero_grad()
        judge.requires_grad_(False)
        deceived = (verdict(judge, torch.cat([image, generated], 1)) - 1).square().mean()
        (deceived + 100 * (generated - target).abs().mean()).backward()
        judge.requires_grad_(True)
        of_network.step()

    return step


def bare_cyclegan(model: Any, make_optimizer: Any, device: torch.device) -> BareStep:
    """Least squares, cycles and identities, then both discriminators on images of the pools."""
    there, back, judges = model.network, model.network_back, model.discriminator
    of_networks = make_optimizer([*there.parameters(), *back.parameters()])
    of_judges = make_optimizer(judges.parameters())

    def step(batch: Batch) -> None:
        a, b = batch["image"].to(device), batch["target"].to(device)
        of_networks.zero_grad()
        judges.requires_grad_(False)
        made_b, made_a = there(a), back(b)
        deceived = (verdict(judges["a"], made_a) - 1).square().mean() + (
            verdict(judges["b"], made_b) - 1
        ).square().mean()
        cycle = (back(made_b) - a).abs().mean() + (there(made_a) - b).abs().mean()
        identity = (back(a) - a).abs().mean() + (there(b) - b).abs().mean()
        (deceived / 2 + 10 * cycle / 2 + 5 * identity / 2).backward()
        of_networks.step()
        judges.requires_grad_(True)
        of_judges.zero_grad()
        losses = []
        for domain, real, made in (("a", a, made_a), ("b", b, made_b)):
            shown = model.pools[domain].exchange(made.detach())
            right, wrong = verdict(judges[domain], real), verdict(judges[domain], shown)
            losses.append((right - 1).square().mean() / 2 + wrong.square().mean() / 2)
        torch.stack(losses).sum().backward()
        of_judges.step()

    return step


def verdict(judge: Any, image: torch.Tensor) -> torch.Tensor:
    """The logits."""
    [features] = judge(image)
    logits: torch.Tensor = features[-1]
    return logits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["pix2pix", "cyclegan"], default="pix2pix", help="what is trained")
    parser.add_argument("--steps", type=int, default=30, help="steps of each kind")
    parser.add_argument("--size", type=int, default=128, help="pixels along Y and X")
    parser.add_argument("--batch", type=int, default=1, help="images per batch")
    parser.add_argument("--width", type=int, default=16, help="channels at full size")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    model, config = built(options)
    assert isinstance(model, pl.LightningModule)
    make = {"pix2pix": bare_pix2pix, "cyclegan": bare_cyclegan}[options.model]
    bare_step = make(copy.deepcopy(model).to(device), call_factory(config.optimizer), device)
    shape = (options.batch, 1, options.size, options.size)
    count = options.steps + WARM_UP + 1
    batches = [{"image": torch.rand(shape), "target": torch.rand(shape)} for _ in range(count)]
    through_trainer, bare = alternate(model, bare_step, batches, device)
    ratios = [with_trainer / alone for with_trainer, alone in zip(through_trainer, bare, strict=True)]
    quarter, median, three_quarters = statistics.quantiles(ratios, n=4)
    print(f"bare loop  {1000 * statistics.median(bare):8.2f} ms per step (median of {len(bare)})")
    print(f"trainer    {1000 * statistics.median(through_trainer):8.2f} ms per step")
    print(f"ratio      {median:8.3f} (half of the steps between {quarter:.3f} and {three_quarters:.3f})")


if __name__ == "__main__":
    main()
