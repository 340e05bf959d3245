"""The Lovasz hinge in closed form gives what the definition gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_embedseg.lovasz import lovasz_hinge, row_weights


@pytest.mark.parametrize("name", ["lovasz_hinge_0", "lovasz_hinge_1"])
def test_golden(name: str) -> None:
    arrays, params = direct.golden(name)
    logits = torch.from_numpy(arrays["logits"]).requires_grad_()
    labels = torch.from_numpy(arrays["labels"])
    value = lovasz_hinge(logits, labels, per_image=params["per_image"], ignore=params["ignore"])
    value.backward()
    assert logits.grad is not None
    np.testing.assert_allclose(value.detach(), arrays["value"], rtol=1e-5)
    np.testing.assert_allclose(logits.grad, arrays["grad"], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_definition(share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 13, 17, generator=generator)
    labels = (torch.rand(logits.shape, generator=generator) < share).int()
    fast, slow = logits.clone().requires_grad_(), logits.double().requires_grad_()
    value = lovasz_hinge(fast, labels)
    expected = torch.stack([direct.lovasz_hinge(*pair) for pair in zip(slow, labels, strict=True)]).mean()
    value.backward()
    expected.backward()
    assert fast.grad is not None and slow.grad is not None
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(fast.grad, slow.grad.float(), atol=1e-7, rtol=1e-5)


def test_ignored_pixels_change_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 40, generator=generator)
    labels = torch.randint(0, 2, (2, 40), generator=generator)
    labels[:, 10:15] = 7
    changed = logits.clone()
    changed[:, 10:15] = 100
    changed.requires_grad_()
    value = lovasz_hinge(changed, labels, ignore=7)
    value.backward()
    kept = [*range(10), *range(15, 40)]
    assert value.item() == pytest.approx(lovasz_hinge(logits[:, kept], labels[:, kept]).item(), rel=1e-6)
    assert changed.grad is not None and not changed.grad[:, 10:15].any()


def test_all_ignored_is_zero() -> None:
    assert lovasz_hinge(torch.ones(1, 4), torch.full((1, 4), 9), ignore=9).item() == 0


def test_rows_are_independent_and_add_up_to_one() -> None:
    generator = torch.Generator().manual_seed(3)
    errors = torch.rand(300, 50, generator=generator) * 2
    labels = torch.rand(300, 50, generator=generator) < 0.3
    weights = row_weights(errors, labels)
    torch.testing.assert_close(weights.sum(1), torch.ones(300))
    assert (weights >= 0).all()
    for row in (0, 17, 299):
        torch.testing.assert_close(row_weights(errors[row : row + 1], labels[row : row + 1])[0], weights[row])


def test_filling_up_rows_changes_no_weight() -> None:
    generator = torch.Generator().manual_seed(4)
    errors, labels = torch.rand(4, 30, generator=generator), torch.rand(4, 30, generator=generator) < 0.4
    longer = row_weights(torch.cat([errors, torch.zeros(4, 9)], 1), torch.cat([labels, torch.zeros(4, 9).bool()], 1))
    torch.testing.assert_close(longer[:, :30], row_weights(errors, labels))
    assert not longer[:, 30:].any()


def test_equal_errors_have_one_result() -> None:
    errors, labels = torch.ones(2, 5), torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 1, 1]]).bool()
    first = row_weights(errors, labels)
    assert torch.equal(first, row_weights(errors, labels))
    torch.testing.assert_close(first[0], torch.tensor([1 / 2, 1 / 6, 1 / 3, 0, 0]))


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="must be alike"):
        lovasz_hinge(torch.zeros(1, 3), torch.zeros(1, 4))
