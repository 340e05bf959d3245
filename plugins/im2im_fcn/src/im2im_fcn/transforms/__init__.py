"""Transforms beyond those of the core: normalisation by the centre of a stack, stains, padding, perturbation."""
