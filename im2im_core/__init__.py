"""The names that a plug-in author imports, and those that a notebook does.

Loads pydantic and pluggy when one of them is used; torch only for `train`, `predict`, `evaluate` and `load_bundle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from im2im_core.api import TrainedModel, evaluate, load_bundle, predict, train
    from im2im_core.components import (
        Component,
        ComponentConfig,
        Dataset,
        Discriminator,
        Loss,
        Metric,
        Model,
        Network,
        Postprocessor,
        Preset,
        Reader,
        Trainer,
        Transform,
        Writer,
    )
    from im2im_core.errors import BundleError, ComponentError, ConfigError, DataError, Im2imError, OutputError
    from im2im_core.files import write_beside
    from im2im_core.hookspecs import API_VERSION, hookimpl
    from im2im_core.image import Image, to_pixel_type
    from im2im_core.interfaces import DataFacts, DataSurvey, Sample, TrainingResult

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "BundleError",
    "Component",
    "ComponentConfig",
    "ComponentError",
    "ConfigError",
    "DataError",
    "DataFacts",
    "DataSurvey",
    "Dataset",
    "Discriminator",
    "Im2imError",
    "Image",
    "Loss",
    "Metric",
    "Model",
    "Network",
    "OutputError",
    "Postprocessor",
    "Preset",
    "Reader",
    "Sample",
    "TrainedModel",
    "Trainer",
    "TrainingResult",
    "Transform",
    "Writer",
    "__version__",
    "evaluate",
    "hookimpl",
    "load_bundle",
    "predict",
    "to_pixel_type",
    "train",
    "write_beside",
]

_FOR_NOTEBOOKS = {"TrainedModel", "evaluate", "load_bundle", "predict", "train"}


def __getattr__(name: str) -> Any:
    # The command line imports this package too, and must not wait for pydantic to print its help.
    if name in _FOR_NOTEBOOKS:
        from im2im_core import api

        return getattr(api, name)
    if name in __all__:
        from im2im_core import components, errors, files, hookspecs, image, interfaces

        for module in (components, errors, files, hookspecs, image, interfaces):
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module 'im2im_core' has no attribute '{name}'")
