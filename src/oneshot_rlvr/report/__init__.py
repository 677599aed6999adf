"""One self-contained HTML page about one or more runs."""

from oneshot_rlvr.report.page import write_report

__all__ = ["write_report"]
