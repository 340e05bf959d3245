"""The command `im2im`. Only typer is imported here; each command imports what it needs when it runs."""

from __future__ import annotations

import sys

import typer

from im2im_core.cli.demo import demo
from im2im_core.cli.doctor import doctor
from im2im_core.cli.evaluate import evaluate
from im2im_core.cli.export import export
from im2im_core.cli.init import init
from im2im_core.cli.inspect import inspect
from im2im_core.cli.list import list_components
from im2im_core.cli.new import app as new
from im2im_core.cli.plugins import app as plugins
from im2im_core.cli.predict import predict
from im2im_core.cli.report import report
from im2im_core.cli.schema import schema
from im2im_core.cli.show import show
from im2im_core.cli.train import train

app = typer.Typer(
    name="im2im",
    help="Deep learning for microscopy: any image becomes another image, and everything is a plug-in.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Add --debug to any command to see the traceback of an error.",
)
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(report)
app.command()(export)
app.command("list")(list_components)
app.command()(show)
app.add_typer(plugins, name="plugins")
app.add_typer(new, name="new")
app.command()(init)
app.command()(schema)
app.command()(inspect)
app.command()(demo)
app.command()(doctor)


def main() -> None:
    """Entry point: runs a command, and turns errors into words a user can act on."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments, prog_name="im2im")
    except KeyboardInterrupt:
        _fail("stopped", "", 130)
    except Exception as error:
        if debug:
            raise
        message = getattr(error, "message", None)
        if message is None:
            # Not foreseen: still no traceback for a user, but say how to get one.
            _fail(f"{type(error).__name__}: {error}", "run again with --debug and report the traceback", 1)
        _fail(str(message), getattr(error, "hint", ""), 1)


def _fail(message: str, hint: str, code: int) -> None:
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)
    sys.exit(code)
