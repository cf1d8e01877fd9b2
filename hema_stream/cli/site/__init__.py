"""``hema-stream site``: what a laboratory's own cells teach, kept as a profile in versions."""

from __future__ import annotations

from hema_stream.cli.lazy import LazyGroup

COMMANDS = {
    "new": ("keep:new", "Make a site."),
    "learn": ("learn:command", "Learn from named cells, or from cells at large; makes a new version."),
    "evaluate": ("evaluate:command", "Show what leaving named cells out says of it."),
    "watch": ("watch:watch", "Show control limits, and which slides left them."),
    "reread": ("reread:command", "Show what the site would change in a slide, without running it again."),
    "use": ("keep:use", "Switch a version on, or the site off."),
    "list": ("keep:show", "List sites and their versions."),
    "export": ("keep:export", "Copy a version to a file."),
    "import": ("keep:take", "Take a file in that was exported."),
    "remove": ("keep:remove", "Remove a site with all its versions."),
}

command = LazyGroup(
    "site",
    help="Calibrate to a laboratory: its microscope, its stain, its own classes.",
    commands={name: f"hema_stream.cli.site.{where}" for name, (where, _) in COMMANDS.items()},
    short={name: said for name, (_, said) in COMMANDS.items()},
)
