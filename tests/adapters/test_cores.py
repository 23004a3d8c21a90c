"""Cores and memory as control groups grant them, in both of their versions."""

import os
from pathlib import Path

import psutil
import pytest

from littoral.adapters.cores import granted_cores, granted_memory_bytes


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "membership"


def cores(root: Path, membership: Path) -> float:
    return granted_cores(root=root, membership=membership)


def memory(root: Path, membership: Path) -> int:
    return granted_memory_bytes(root=root, membership=membership)


def test_without_groups_affinity_decides(tmp_path: Path, membership: Path) -> None:
    assert cores(tmp_path, membership) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 0.5), ("1000 100000", 0.1)])
def test_a_version_2_quota_is_the_least_of_its_groups(
    tmp_path: Path, membership: Path, quota: str, expected: float
) -> None:
    membership.write_text("0::/a/b\n")
    group(tmp_path, "/a", cpu__max=quota)
    group(tmp_path, "/a/b", cpu__max="max 100000")
    assert cores(tmp_path, membership) == expected


def test_in_a_container_the_root_is_its_own_group(tmp_path: Path, membership: Path) -> None:
    membership.write_text("0::/docker/abc\n")
    group(tmp_path, "/", cpu__max="25000 100000")
    assert cores(tmp_path, membership) == 0.25


def test_a_version_1_quota_counts(tmp_path: Path, membership: Path) -> None:
    membership.write_text("4:cpu,cpuacct:/job\n3:memory:/job\n")
    group(tmp_path, "/cpu/job", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert cores(tmp_path, membership) == 0.5
    group(tmp_path, "/cpu/job", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert cores(tmp_path, membership) == len(os.sched_getaffinity(0))


def test_a_memory_limit_counts_what_is_used_but_not_the_file_cache(
    tmp_path: Path, membership: Path
) -> None:
    membership.write_text("0::/a\n")
    group(
        tmp_path,
        "/a",
        memory__max="1000000",
        memory__current="700000",
        memory__stat="anon 1\ninactive_file 200000\nfile 3",
    )
    assert memory(tmp_path, membership) == 500_000


def test_no_memory_limit_is_what_the_machine_has(tmp_path: Path, membership: Path) -> None:
    membership.write_text("0::/a\n3:memory:/b\n")
    group(tmp_path, "/a", memory__max="max", memory__current="5")
    group(
        tmp_path, "/memory/b", memory__limit_in_bytes=str(2**63 - 4096), memory__usage_in_bytes="5"
    )
    total = psutil.virtual_memory().total
    assert 0 < memory(tmp_path, membership) <= total


def test_nonsense_in_the_files_is_no_limit(tmp_path: Path, membership: Path) -> None:
    membership.write_text("nonsense\n0::/a\n")
    group(tmp_path, "/a", cpu__max="what ever", memory__max="x", memory__current="y")
    assert cores(tmp_path, membership) >= 1
    assert memory(tmp_path, membership) > 0
