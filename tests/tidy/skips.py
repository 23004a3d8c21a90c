"""A pytest plugin: in continuous integration a skipped test is a failed one.

A test that skips because a package or a model is missing would let a broken installation pass.
The one reason allowed is data that lies beside the repository and is not always there.
"""

import os
from collections.abc import Generator

import pytest

ALLOWED = "../shared"


Report = pytest.TestReport | pytest.CollectReport


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at every test's report."""
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at files that skip as a whole."""
    report = yield
    judge(report)
    return report


def judge(report: Report) -> None:
    """Turn an unexpected skip into a failure that says what was skipped."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
    if ALLOWED not in reason:
        report.outcome = "failed"
        report.longrepr = f"skipped in continuous integration: {report.nodeid}: {reason}"
