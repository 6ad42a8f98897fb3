"""``report.html``: an evaluation on one page for people, which opens offline and asks for nothing from outside."""

from spore_yolo.evaluation.html_report.page import ReportInput, write_report

__all__ = ["ReportInput", "write_report"]
