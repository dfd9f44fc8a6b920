"""`GroupedCommand`: a command whose help shows its many options in groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import click

from .help_formatter import HelpContext
from .option import UNBROKEN

# Headings in the order they are shown, and the parameters below them. All others are the command's own.
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Tag options": ("include", "excluded_tags", "semver", "latest", "sort"),
    "Store options": ("models",),
    "Sign-in options": ("key", "username", "password_stdin", "authfile", "allow_realms"),
    "Connection options": (
        *("plain_http", "tls_verify", "system_certs", "ca_file", "cert", "key_file", "allow_addresses", "dialect"),
        *("timeout", "retries", "retry_for", "ratelimit_min", "user_agent"),
    ),
    "Transfer options": ("jobs", "bwlimit", "no_clobber", "recheck", "no_resume", "state_dir"),
    "Upload options": ("chunk_size", "one_put", "verify", "congestion", "mount"),
    "Output options": ("quiet", "verbose", "debug", "as_json", "no_progress", "log_file"),
    "General options": ("config", "help"),
}
OWN: Final = "Options"


def in_sections(parameters: Iterable[click.Parameter]) -> dict[str, list[click.Parameter]]:
    """Return the options among the `parameters` below their headings, the command's own first; none that is empty."""
    headings = {name: heading for heading, names in SECTIONS.items() for name in names}
    found: dict[str, list[click.Parameter]] = {heading: [] for heading in (OWN, *SECTIONS)}
    for each in parameters:
        if not isinstance(each, click.Option):
            continue  # an argument is explained by the usage and the text above
        name = "help" if "--help" in each.opts else each.name or ""  # click has a name of its own for that one
        found[headings.get(name, OWN)].append(each)
    return {heading: each for heading, each in found.items() if each}


class GroupedCommand(click.Command):
    """A command that shows its options in `SECTIONS`."""

    context_class = HelpContext

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse `args`; an error knows its command, so that the hint can name it."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """Return both names, whatever the context: click caches what it has seen first."""
        return ["-h", "--help"]

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, wrapped."""
        return super().get_help(ctx).replace(UNBROKEN, " ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section below its heading."""
        shown = ((each, each.get_help_record(ctx)) for each in self.get_params(ctx))
        records = {each: record for each, record in shown if record is not None}
        for heading, options in in_sections(records).items():
            with formatter.section(heading):
                formatter.write_dl([records[each] for each in options])
