"""Settings of the trainer `lightning`. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from im2im_core.components import ComponentConfig

Precision = Literal[
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "transformer-engine",
    "transformer-engine-float16",
]  # fmt: skip
Duration = Annotated[str, Field(pattern=r"^\d+:\d\d:\d\d:\d\d$")]
Share = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)]


class EarlyStopping(ComponentConfig):
    """Stop when a figure no longer improves."""

    name: Literal["early-stopping"] = Field(description="which callback")
    monitor: str | None = Field(None, description="figure to watch; by default the one that decides on the best epoch")
    higher_is_better: bool | None = Field(None, description="which way is good; needed when `monitor` is given")
    patience: int = Field(10, ge=1, description="validations without improvement before stopping")
    min_delta: float = Field(0.0, ge=0, description="smallest change that counts as an improvement")
    stopping_threshold: float | None = Field(None, description="stop as soon as the figure is better than this")
    divergence_threshold: float | None = Field(None, description="stop as soon as the figure is worse than this")


class LearningRateMonitor(ComponentConfig):
    """Log the learning rate."""

    name: Literal["learning-rate-monitor"] = Field(description="which callback")
    logging_interval: Literal["step", "epoch"] = Field("epoch", description="how often it is logged")
    log_momentum: bool = Field(False, description="log the momentum too")
    log_weight_decay: bool = Field(False, description="log the weight decay too")


class StochasticWeightAveraging(ComponentConfig):
    """Average the weights of the last epochs (Izmailov et al., UAI 2018); the average is what is returned."""

    name: Literal["stochastic-weight-averaging"] = Field(description="which callback")
    learning_rate: float = Field(gt=0, description="learning rate while averaging")
    start: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=0, le=1)] = Field(
        0.8, description="first epoch (counted from 1) or share of the epochs after which averaging begins"
    )
    annealing_epochs: int = Field(10, ge=1, description="epochs in which the learning rate goes to `learning_rate`")
    annealing_strategy: Literal["cos", "linear"] = Field("cos", description="how it goes there")


class Ema(ComponentConfig):
    """Keep an exponential moving average of the weights; the average is validated, saved as best and returned."""

    name: Literal["ema"] = Field(description="which callback")
    decay: float = Field(0.999, gt=0, lt=1, description="share of the average that is kept at each step")
    warmup: bool = Field(True, description="a smaller decay, (1 + step) / (10 + step), while that is below `decay`")


class Timer(ComponentConfig):
    """Stop after a time."""

    name: Literal["timer"] = Field(description="which callback")
    duration: Duration = Field(description="DD:HH:MM:SS; the time before a resumption counts")
    interval: Literal["step", "epoch"] = Field("step", description="when the clock is looked at")


class GradientAccumulationScheduler(ComponentConfig):
    """Accumulate more or fewer batches from some epoch on."""

    name: Literal["gradient-accumulation-scheduler"] = Field(description="which callback")
    scheduling: dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="epoch (counted from 0): batches to accumulate from then on"
    )


class DeviceStats(ComponentConfig):
    """Log memory and load of the device."""

    name: Literal["device-stats"] = Field(description="which callback")
    cpu_stats: bool | None = Field(None, description="log the processor too; by default only where it is the device")


CallbackConfig = Annotated[
    EarlyStopping
    | LearningRateMonitor
    | StochasticWeightAveraging
    | Ema
    | Timer
    | GradientAccumulationScheduler
    | DeviceStats,
    Field(discriminator="name"),
]


class LightningTrainerConfig(ComponentConfig):
    """Every setting of pytorch_lightning.Trainer that can be written in YAML, and a few of im2im's own."""

    max_epochs: int = Field(100, ge=-1, description="epochs to train; -1: no limit")
    min_epochs: int | None = Field(None, ge=0, description="epochs before anything may stop the training early")
    max_steps: int = Field(-1, ge=-1, description="optimizer steps to train; -1: no limit")
    min_steps: int | None = Field(None, ge=0, description="steps before anything may stop the training early")
    max_time: Duration | None = Field(None, description="DD:HH:MM:SS after which training stops, over all resumptions")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = Field("auto", description="sort of device")
    devices: Annotated[int, Field(ge=-1)] | list[int] | str = Field(
        "auto", description="how many devices, or their indices"
    )
    num_nodes: int = Field(1, ge=1, description="machines that train together")
    strategy: str = Field("auto", description="how several devices share the work, for instance 'ddp'")
    precision: Precision = Field("32-true", description="number format of weights and computation")
    gradient_clip_val: float | None = Field(None, ge=0, description="limit for the gradient; none by default")
    gradient_clip_algorithm: Literal["norm", "value"] | None = Field(None, description="what is limited: 'norm'")
    accumulate_grad_batches: int = Field(1, ge=1, description="batches per optimizer step")
    check_val_every_n_epoch: int | None = Field(
        1, ge=1, description="epochs from one validation to the next; null: val_check_interval counts over epochs"
    )
    val_check_interval: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] | Duration | None = Field(
        None, description="batches, share of the epoch, or DD:HH:MM:SS from one validation to the next"
    )
    limit_train_batches: Share | None = Field(None, description="training batches per epoch: number or share")
    limit_val_batches: Share | None = Field(None, description="validation batches: number or share; 0: no validation")
    overfit_batches: Share = Field(0.0, description="train and validate on so few batches, to see that a model can fit")
    fast_dev_run: bool | Annotated[int, Field(ge=0)] = Field(
        False, description="run one batch, or so many, to try out settings"
    )
    log_every_n_steps: int = Field(50, ge=1, description="steps from one logged step to the next")
    num_sanity_val_steps: int = Field(0, ge=-1, description="validation batches to run before training; -1: all")
    reload_dataloaders_every_n_epochs: int = Field(0, ge=0, description="make the data anew every so many epochs")
    use_distributed_sampler: bool = Field(True, description="give each of several devices its own part of the data")
    deterministic: bool | Literal["warn"] = Field(False, description="only algorithms that repeat exactly; slower")
    benchmark: bool | None = Field(None, description="let cuDNN try out the fastest convolutions")
    inference_mode: bool = Field(True, description="validate in inference mode rather than without gradient")
    detect_anomaly: bool = Field(False, description="find the operation that made a gradient NaN; very slow")
    sync_batchnorm: bool = Field(False, description="batch norm over all devices")
    profiler: Literal["simple", "advanced", "pytorch"] | None = Field(
        None, description="write how the time was spent to fit-profile.txt in the run folder"
    )
    enable_model_summary: bool = Field(False, description="print a table of the layers before training")
    loggers: list[Literal["csv", "tensorboard"]] = Field(
        ["csv", "tensorboard"], description="metrics.csv and tensorboard/ in the run folder"
    )
    callbacks: list[CallbackConfig] = Field([], description="additions to the training, each with its `name`")
    save_every_n_epochs: int = Field(1, ge=1, description="epochs from one checkpoints/last.ckpt to the next")
    preview_every_n_epochs: int = Field(
        0, ge=0, description="epochs from one picture in previews/ to the next: image, prediction, target; 0: none"
    )
    keep_best: bool = Field(True, description="return the weights of the best epoch, by the validation figure")
    channels_last: bool = Field(False, description="channels-last memory layout of convolutions; often faster")
    compile: bool = Field(False, description="compile the networks with torch.compile; slow start, then faster")
    progress: bool = Field(True, description="show a line per epoch")
