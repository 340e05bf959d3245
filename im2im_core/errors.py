"""Errors meant for the person at the keyboard: what is wrong, and one thing to do about it."""

from __future__ import annotations


class Im2imError(Exception):
    """Something a user can mend.

    Args:
        message: what is wrong, with the offending value in quotes.
        hint: one thing to do; empty when there is nothing sensible to advise.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message


class ConfigError(Im2imError):
    """One or more settings are wrong; `message` lists every problem, one a line."""


class ComponentError(Im2imError):
    """A component is unknown, ambiguous, or its plug-in could not be loaded."""


class DataError(Im2imError):
    """Images are missing, unreadable, or do not fit together."""


class BundleError(Im2imError):
    """A trained model cannot be opened or does not match its description."""


class OutputError(Im2imError):
    """Results cannot be written where they were asked for."""
