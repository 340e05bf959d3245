"""Images generated earlier, so that discriminators do not forget them."""

from __future__ import annotations

import torch
from torch import Tensor


class ReplayPool:
    """Hands out half of the time an image that was generated earlier (Shrivastava et al., CVPR 2017).

    Args:
        size: images to keep; 0: always the newest.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor) -> Tensor:
        """For each image of a batch (B, C, [Z,] Y, X), itself or an earlier one; images of other sizes are dropped."""
        if self.size == 0:
            return images
        chosen = []
        for image in images.detach():
            if self.images and self.images[0].shape != image.shape:
                self.images.clear()
            if len(self.images) < self.size:
                self.images.append(image)
                chosen.append(image)
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                chosen.append(self.images[place].to(image))
                self.images[place] = image
            else:
                chosen.append(image)
        return torch.stack(chosen)

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint; on the CPU, since after resuming some images lie there and some on the device."""
        return {"images": torch.stack([image.float().cpu() for image in self.images])} if self.images else {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from there."""
        self.images = list(state["images"]) if state else []
