"""What can be wrong with the input. Every message says which value is wrong, where, and what to do."""

from __future__ import annotations


class HistoryError(ValueError):
    """A history that cannot be read, or a request that cannot be met.

    :ivar line: the line of the file, from 1; None if the fault has no line.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message if line is None else f"line {line}: {message}")


def printable(text: str) -> str:
    """The text without what would steer a terminal or break XML; line ends stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def short(text: str, most: int = 60) -> str:
    """The text, cut to at most ``most`` characters, so that no message is as long as the file."""
    return text if len(text) <= most else text[: most - 1] + "…"
