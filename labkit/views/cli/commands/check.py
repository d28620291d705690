"""Does everything that labkit needs work here? Exit code 1 if not."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.views.cli.flags import read_options
from labkit.views.cli.terminal import DONE, FAILED


@dataclass
class CheckOptions:
    """Does everything that labkit needs work here? Exit code 1 if not."""


def main(args: list[str]) -> int:
    """`labkit check`."""
    read_options("check", CheckOptions, args)
    from labkit.check import check_environment, format_findings

    findings = check_environment()
    print(format_findings(findings))
    return FAILED if any(finding.ok is False for finding in findings) else DONE
