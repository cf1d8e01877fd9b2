"""The command line; each command is a module of its own, imported when it is called."""

from __future__ import annotations

import sys
import traceback

import click

from hema_stream import __version__
from hema_stream.cli.lazy import LazyGroup

COMMANDS = {
    "analyze": "Analyse smear images and write a report for each.",
    "serve": "Serve live analysis: submit, follow, review over HTTP.",
    "daemon": "Run the service and watched folders on an edge box.",
    "status": "Show what a running service does.",
    "scan-sim": "Play an image to a service as a scanner would.",
    "evaluate": "Score the product's own stages on labelled pictures.",
    "site": "Calibrate to a laboratory with a few of its own cells.",
    "train": "Train a model from labelled smears.",
    "models": "Show the models' cards.",
    "doctor": "Say what this machine has, what is missing, and what mends it.",
    "launch": "Run any pipeline from a line of text.",
    "inspect": "List the stages, or show one.",
    "graph": "Draw a pipeline.",
}

group = click.version_option(__version__, prog_name="hema-stream")(
    LazyGroup(
        "hema-stream",
        help="Find, classify and count every cell on a stained blood smear while the slide is still running.",
        commands={name: f"hema_stream.cli.{name.replace('-', '_')}:command" for name in COMMANDS},
        short=COMMANDS,
    )
)


EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 2, 4, 130


def main() -> None:
    """Run the command line; whatever goes wrong is one line and an exit code; defects come with their traceback."""
    from hema_stream.cli.shortage import raise_limits, shortage
    from hema_stream.cli.streams import guard_streams
    from hema_stream.core.errors import ConfigError, HemaError
    from hema_stream.core.heap import bound_heap
    from hema_stream.flow.errors import FlowError, PropertyError

    out = guard_streams()
    raise_limits()
    bound_heap()
    _log_to_stderr()
    _quiet_others()
    try:
        code = group(prog_name="hema-stream", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as leaving:
        code = leaving.code
    except (click.Abort, KeyboardInterrupt):
        code = _told("interrupted", EXIT_INTERRUPTED)
    except (ConfigError, PropertyError) as error:
        code = _told(f"error: {error}", EXIT_USAGE)
    except (HemaError, FlowError) as error:
        code = _told(f"error: {error}", EXIT_FAILED)
    except Exception as error:
        code = _told(f"error: {shortage(error) or _defect(error)}", EXIT_FAILED)
    code = code if isinstance(code, int) else 0
    sys.stdout.flush()
    if out.lost is not None:
        code = _told(f"error: standard output: {out.lost.strerror}", code or EXIT_FAILED)
    sys.exit(code)


def _defect(error: Exception) -> str:
    traceback.print_exc()
    return f"{type(error).__name__}: {error} (a defect of hema-stream: report it with the lines above)"


def _told(line: str, code: int) -> int:
    click.echo(line, err=True)
    return code


def _quiet_others() -> None:
    """Keep warnings of other libraries from the terminal, in worker processes too; python -W shows them."""
    import os
    import warnings

    if sys.warnoptions:
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")


def _log_to_stderr() -> None:
    """Keep the log out of what scripts read; what concerns a person comes as lines of the command's own."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
