"""Post-processing beyond that of the core: classes, clean-up of class maps and labels, separation of objects."""
