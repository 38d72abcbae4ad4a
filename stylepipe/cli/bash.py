"""Completion in bash, which parts words at ``=``, so that NAME=STYLE comes in three."""

from __future__ import annotations

from typing import Any

from click.shell_completion import BashComplete, CompletionItem


class Bash(BashComplete):
    """Puts such words together, and answers with what bash will replace: the part after ``=``."""

    parted = False

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words = [*args, incomplete]
        at = len(words) - (1 if incomplete == "=" else 2)
        if at < 1 or words[at] != "=":
            return args, incomplete
        if words[at - 1].startswith("-"):  # --style=wave
            return words[:at], "" if incomplete == "=" else incomplete
        self.parted = True
        return words[: at - 1], "".join(words[at - 1 :])

    def format_completion(self, item: CompletionItem[Any]) -> str:
        value = item.value.partition("=")[2] if self.parted else item.value
        return f"{item.type},{value}"
