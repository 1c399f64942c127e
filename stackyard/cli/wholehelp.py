"""Groups of commands whose help wraps what each does, where typer cuts it off."""

from typing import Any

from typer.core import TyperGroup

LONGEST = 1000


class WholeHelp(TyperGroup):
    """Has whole sentences in its list of commands."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(LONGEST)) for name, command in commands if command
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
