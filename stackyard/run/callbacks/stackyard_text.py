"""Ansible callback: the usual text for people, but nothing of a failure that `no_log` hides.

ansible-core's own shows the message of a failed task even then (seen with 2.19), and a message may
well repeat the secret that the task was given.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: stackyard_text
type: stdout
short_description: The default screen output, strict about no_log
description:
  - Prints what ansible.builtin.default prints, without the error messages of tasks with no_log.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""


class CallbackModule(Default):  # type: ignore[misc] # ansible has no type information
    """Prints text."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "stackyard_text"

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        super().v2_runner_on_failed(_hidden(result), ignore_errors)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        super().v2_runner_item_on_failed(_hidden(result))

    def v2_runner_retry(self, result: Any) -> None:
        super().v2_runner_retry(_hidden(result))


def _hidden(result: Any) -> Any:
    """Take the error out of a result whose other values are hidden already."""
    # ansible-core 2.18 has the underscore alone.
    data = result.result if hasattr(result, "result") else result._result
    for part in (data, *data.get("results", ())):
        if isinstance(part, dict) and "censored" in part:
            part.pop("exception", None)
    return result
