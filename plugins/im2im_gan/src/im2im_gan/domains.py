"""Numbers that training and prediction agree on."""

from __future__ import annotations

# Of masks 0 becomes -1 and 1 becomes 1, so that an output above 0 is foreground, as of logits.
MASK_RANGE = (0.5, 1.0)
