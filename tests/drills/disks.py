"""Disks that are full or cannot be written: small file systems in memory for root, limits for others."""

import contextlib
import os
import subprocess


def _mount(*arguments):
    "Call `mount`; returns whether it worked."
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


@contextlib.contextmanager
def _tmpfs(folder, size):
    "Mount a file system in memory; yields whether that was allowed."
    folder.mkdir()
    mounted = os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def small_disk(ground, kind, size):
    """Yield a place on a disk of `size` bytes, a job that works there, and a function that enlarges it.

    Where nothing can be mounted (without root), the size of each file is limited instead."""
    folder = ground.folder / f"disk-{kind}-{size}"
    with _tmpfs(folder, size) as mounted:
        place = ground.place(kind, folder)
        job = {} if mounted else {"file_size": size // 2}

        def enlarge():
            if mounted:
                assert _mount("-o", f"remount,size={100 * 2**20}", folder)

        yield place, job, enlarge


@contextlib.contextmanager
def lockable_disk(ground, kind):
    """Yield a place, a function that makes it read-only, and one that takes that back.

    Where nothing can be mounted (without root), permissions are taken away instead."""
    folder = ground.folder / f"lockable-{kind}-{ground.rng.random()}"
    with _tmpfs(folder, 100 * 2**20) as mounted:
        place = ground.place(kind, folder)

        def set_to(option, mode):
            if mounted:
                assert _mount("-o", f"remount,{option}", folder)
                return
            for path in (*folder.rglob("*"), folder):
                path.chmod(mode | (0o111 if path.is_dir() else 0))

        yield place, lambda: set_to("ro", 0o444), lambda: set_to("rw", 0o644)
