"""One self-contained HTML page about one or more runs."""

from oneshot_rlvr.reporting.page import write_report

__all__ = ["write_report"]
