"""What may become of an EFI disk or a TPM state: they are made once, and stay as they are."""

from dataclasses import fields

from stackyard.definitions.hardware import EfiDisk, TpmState
from stackyard.plan.values import Value


def firmware_problem(key: str, wanted: Value, found: Value) -> str | None:
    """Return why a volume of the firmware cannot become the wanted one, or None."""
    if not isinstance(wanted, EfiDisk | TpmState) or type(found) is not type(wanted):
        return None
    for field in fields(wanted):
        before, after = getattr(found, field.name), getattr(wanted, field.name)
        if after is None or before == after:
            continue
        name = field.name.replace("_", "-")
        return (
            f"{key} has {name} {_text(before)}, not {_text(after)}: what it holds would be lost, "
            f"remove it by hand first, or set that {name}"
        )
    return None


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value or "by default")
