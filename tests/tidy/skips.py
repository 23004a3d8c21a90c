"""A pytest plugin: in continuous integration a skipped test is a failed one.

A test that skips because a package or a model is missing would let a broken installation pass.
What may be missing is data that lies beside the repository and is not always there, and what the
kernel can't do, since nobody can install that.
"""

import os
from collections.abc import Generator

import pytest

ALLOWED = "../shared", "this kernel"


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
    if not any(allowed in reason for allowed in ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"skipped in continuous integration: {report.nodeid}: {reason}"
