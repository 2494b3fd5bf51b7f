# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The installer on the real machine: what it puts where, for whom, what it refuses, and that it leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from callers import STRANGER, STRANGER_UID
from daos_install import accounts, manifest, settings
from daos_install.layout import Layout
from installed import INSTALLER, Installation, install_command, layout_under, new_root, run_installer

UNCHECKED_HASH = b"\x01\x00\x00\x00"
HELPER_LIBRARIES = {"msgpack", "msgspec", "prctl.py", "daos_pbin", "daos_bindings", "daos_helper", "__pycache__"}
EXTENSIONS = ("_cffi_backend.", "_prctl.")


@pytest.fixture
def place(installation: Installation) -> Iterator[Layout]:
    """A layout of its own beside the session's installation, which keeps the accounts alive; removed with all that is in it."""
    root = new_root("second")
    yield layout_under(root)
    shutil.rmtree(root)


def root_of(layout: Layout) -> Path:
    return Path(layout.prefix).parent


def entries(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def test_everything_belongs_to_root_but_what_marks_the_accounts(installation: Installation) -> None:
    layout = installation.layout
    exceptions = {
        layout.helper: (0, installation.account.gid, 0o4750),
        layout.account_file: (installation.account.uid, installation.account.gid, 0),
        layout.worker_file: (installation.worker.uid, installation.worker.gid, 0),
        layout.state_dir: (installation.account.uid, installation.account.gid, 0o700),
        layout.helper_state: (0, 0, 0o700),
        layout.log_dir: (0, 0, 0o750),
        layout.server: (0, 0, 0o755),
        layout.audit_log: (0, 0, 0o600),
        layout.audit_log.removesuffix(".log") + "-read.log": (0, 0, 0o600),
    }
    wrong = []
    for path in entries(installation.root):
        if str(path).startswith((layout.rundir, f"{layout.state_dir}/", f"{layout.helper_state}/")):
            continue  # made when the programs run
        found = path.lstat()
        expected = exceptions.get(str(path), (0, 0, 0o755 if path.is_dir() else 0o644))
        if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) != expected or path.is_symlink():
            wrong.append(f"{path} {stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}, not {expected}")
    assert not wrong


def test_accounts_are_two_and_cannot_log_in(installation: Installation) -> None:
    passwd = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()
    lines = [line.split(":") for line in passwd if line.startswith(("daos_server:", "daos_helper:"))]
    assert len(lines) == 2
    assert {line[6] for line in lines} == {"/usr/sbin/nologin"}
    assert len({line[2] for line in lines} | {"0"}) == 3


def test_helper_has_its_locked_dependencies_and_nothing_else(installation: Installation) -> None:
    names = {path.name for path in Path(installation.layout.helper_lib).iterdir()}
    assert {name for name in names if not name.startswith(EXTENSIONS)} == HELPER_LIBRARIES
    assert sum(name.startswith(EXTENSIONS) for name in names) == len(EXTENSIONS)


def test_no_installed_module_has_the_name_of_one_of_the_standard_library(installation: Installation) -> None:
    for folder in (installation.layout.helper_lib, installation.layout.server_lib):
        names = {path.name.partition(".")[0] for path in Path(folder).iterdir()}
        assert not names & sys.stdlib_module_names


def test_nothing_that_only_builds_or_tests_is_installed(installation: Installation) -> None:
    names = {path.name for path in entries(Path(installation.layout.prefix))}
    assert not names & {"pip", "setuptools", "cffi", "pycparser", "tests", "conftest.py"}
    assert not [name for name in names if name.startswith("_build_") and name.endswith(".py")]
    assert not [name for name in names if name.endswith((".pyi", ".dist-info", ".egg-info", ".daos-new"))]


def test_every_module_is_compiled_and_never_compared_with_its_source(installation: Installation) -> None:
    modules = [path for path in entries(Path(installation.layout.helper_lib)) if path.suffix == ".py"]
    assert modules
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
        assert compiled.read_bytes()[4:8] == UNCHECKED_HASH, module


def test_manifest_names_every_file_and_no_other(installation: Installation) -> None:
    layout = installation.layout
    manifest = json.loads(Path(layout.manifest).read_text(encoding="utf-8"))
    on_disk = {str(path) for path in entries(Path(layout.prefix)) if not path.is_dir()}
    assert set(manifest["files"]) | {layout.manifest} == on_disk
    assert set(manifest["data"]) == {layout.state_dir, layout.helper_state, layout.log_dir, layout.rundir}


def test_both_programs_run(installation: Installation) -> None:
    version = installation.account.run([installation.server, "version"])
    assert version.returncode == 0, version.stderr
    helper = installation.account.run([installation.helper])
    assert helper.returncode == 0, helper.stderr
    assert b"hello" in helper.stdout


def test_second_install_changes_nothing_and_uninstall_leaves_nothing(place: Layout) -> None:
    assert run_installer("install", place).returncode == 0
    before = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in entries(Path(place.prefix)) if path.is_file()}
    again = run_installer("install", place)
    assert again.returncode == 0, again.stderr
    after = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in entries(Path(place.prefix)) if path.is_file()}
    changed = {str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {place.manifest}
    assert run_installer("uninstall", place).returncode == 0
    assert entries(root_of(place)) == []
    assert accounts.missing(place) == []  # they were there before, so they stay


def test_damage_is_repaired_and_stale_files_go(place: Layout) -> None:
    assert run_installer("install", place).returncode == 0
    start = Path(place.start_file)
    original = start.read_bytes()
    start.write_bytes(b"import os\n")
    os.chmod(place.helper, 0o755)  # noqa: S103  the damage
    Path(place.account_file).unlink()
    stale = Path(place.helper_lib) / "gone.py"
    stale.write_bytes(b"")
    manifest = Path(place.manifest)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["files"].append(str(stale))
    manifest.write_text(json.dumps(content), encoding="utf-8")
    assert run_installer("install", place).returncode == 0
    assert start.read_bytes() == original
    assert stat.S_IMODE(os.stat(place.helper).st_mode) == 0o4750
    assert os.lstat(place.account_file).st_uid != 0
    assert not stale.exists()


@pytest.mark.parametrize(
    "moment", ["libexec/daos/manifest.json", "libexec/daos/helper/lib/msgpack", "lib/daos/server/yaml", "bin/daos_server"]
)
def test_killed_install_can_be_repeated_and_undone(place: Layout, moment: str) -> None:
    watched = Path(place.prefix) / moment
    with subprocess.Popen(install_command("install", place), stdout=subprocess.DEVNULL, start_new_session=True) as installer:
        while installer.poll() is None and not watched.exists():
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(installer.pid, signal.SIGKILL)
    assert watched.exists()
    assert run_installer("uninstall", place).returncode == 0
    assert entries(root_of(place)) == []
    assert run_installer("install", place).returncode == 0
    assert stat.S_IMODE(os.stat(place.helper).st_mode) == 0o4750


def test_uninstall_keeps_what_is_not_ours_and_says_so(place: Layout) -> None:
    assert run_installer("install", place).returncode == 0
    policy = Path(place.policy_file)
    policy.write_text("# the administrator's\n", encoding="utf-8")
    done = run_installer("uninstall", place)
    assert done.returncode == 0
    assert f"left: {place.sysconfdir}" in done.stdout
    assert [path for path in entries(root_of(place)) if not path.is_dir()] == [policy]


def test_uninstall_refuses_while_storage_is_mounted_on_its_state(place: Layout) -> None:
    assert run_installer("install", place).returncode == 0
    mounted = Path(place.state_dir) / "with space"
    mounted.mkdir()
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "none", str(mounted)], check=True)
    try:
        (mounted / "data").write_bytes(b"precious")
        done = run_installer("uninstall", place)
        assert (mounted / "data").read_bytes() == b"precious"
    finally:
        subprocess.run(["/usr/bin/umount", str(mounted)], check=True)
    assert done.returncode == 1
    assert str(mounted) in done.stderr
    assert Path(place.helper).exists()


def test_uninstall_leaves_accounts_that_another_installation_uses(place: Layout, installation: Installation) -> None:
    assert run_installer("install", place).returncode == 0
    manifest = Path(place.manifest)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**content, "accounts": [place.account, place.worker_account]}), encoding="utf-8")
    done = run_installer("uninstall", place)
    assert done.returncode == 0, done.stderr
    assert installation.layout.manifest in done.stdout, "who uses them"
    assert accounts.missing(place) == []
    assert installation.layout.manifest in accounts.others("")


def test_uninstall_refuses_while_an_account_that_it_would_remove_is_in_use(place: Layout, installation: Installation) -> None:
    assert run_installer("install", place).returncode == 0
    manifest = Path(place.manifest)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**content, "accounts": [place.account]}), encoding="utf-8")
    aside = accounts.REGISTER.rename(accounts.REGISTER.with_suffix(".test"))  # as if no other installation were there
    try:
        with installation.account.start(["/bin/cat"]) as running:
            done = run_installer("uninstall", place)
            running.communicate(b"", timeout=60)
    finally:
        aside.rename(accounts.REGISTER)
    assert done.returncode == 1
    assert str(running.pid) in done.stderr
    assert Path(place.helper).exists()
    assert accounts.lookup(place.account) is not None


def test_uninstall_of_nothing_names_the_prefix(place: Layout) -> None:
    done = run_installer("uninstall", place)
    assert done.returncode == 1
    assert place.prefix in done.stderr


def test_interpreter_in_somebodys_home_is_refused_with_the_reason(place: Layout, system_interpreter: str) -> None:
    home = root_of(place) / "home"
    home.mkdir()
    copied = home / "python3.11"
    shutil.copy(system_interpreter, copied)
    os.chown(home, STRANGER_UID, STRANGER_UID)
    refused = run_installer("install", place, "--interpreter", str(copied))
    assert refused.returncode == 1
    assert f"{home} belongs to uid {STRANGER_UID}" in refused.stderr
    os.chown(home, 0, 0)
    home.chmod(0o700)
    refused = run_installer("install", place, "--interpreter", str(copied))
    assert refused.returncode == 1
    assert "cannot be entered" in refused.stderr
    home.chmod(0o775)
    refused = run_installer("install", place, "--interpreter", str(copied))
    assert refused.returncode == 1
    assert "can be written by others" in refused.stderr
    assert not Path(place.prefix).exists()


def test_link_to_a_good_interpreter_is_followed_to_its_real_path(place: Layout, system_interpreter: str) -> None:
    link = root_of(place) / "python"
    link.symlink_to(system_interpreter)
    done = run_installer("install", place, "--interpreter", str(link))
    assert done.returncode == 0, done.stderr
    assert Path(place.server).read_text(encoding="utf-8").startswith(f"#!{system_interpreter} -ISB\n")


def test_prefix_that_others_can_write_is_refused(installation: Installation) -> None:
    done = run_installer("install", Layout(prefix="/tmp/daos-never"))  # noqa: S108  refused, so never made
    assert done.returncode == 1
    assert "/tmp" in done.stderr  # noqa: S108  the refused folder
    assert not os.path.lexists("/tmp/daos-never")  # noqa: S108


@pytest.mark.parametrize("prefix", ["relative", "/opt/a b", '/opt/a"b', "/opt/../etc/x", "/opt/x/", "//opt/x", "/opt/x\n"])
def test_prefix_that_cannot_stand_in_a_program_is_refused(installation: Installation, prefix: str) -> None:
    command = install_command("install", Layout())
    command[command.index("--prefix") + 1] = prefix
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PREFIX" in done.stderr


def test_install_refuses_without_root(place: Layout, system_interpreter: str) -> None:
    parts = root_of(place) / "packaging"  # a copy: the source tree need not be reachable by others
    shutil.copytree(INSTALLER.parent / "daos_install", parts / "daos_install")
    shutil.copy(INSTALLER, parts)
    refused = STRANGER.run([system_interpreter, "-B", parts / "install.py", "install", "--prefix", place.prefix])
    assert refused.returncode == 1
    assert b"needs root" in refused.stderr
    assert not Path(place.prefix).exists()


def test_package_build_touches_nothing_outside_destdir(place: Layout) -> None:
    staging = root_of(place) / "staging"
    layout = layout_under(Path("/opt/daos-packaged"), destdir=str(staging))
    done = run_installer("install", layout)
    assert done.returncode == 0, done.stderr
    assert not os.path.exists("/opt/daos-packaged")
    staged = layout.staged(layout.helper)
    assert stat.S_IMODE(staged.stat().st_mode) == 0o750
    assert not layout.staged(layout.manifest).exists()
    assert str(staging) not in layout.staged(layout.server).read_text(encoding="utf-8")
    assert run_installer("own", layout).returncode == 0
    assert stat.S_IMODE(staged.stat().st_mode) == 0o4750
    assert layout.staged(layout.account_file).lstat().st_uid == accounts.required(layout)[0].uid


def test_accounts_are_made_and_removed() -> None:
    name = "daos_t54321"
    try:
        accounts.make(name, "/")
        made = accounts.lookup(name)
        assert made is not None
        assert made.uid != 0
    finally:
        assert accounts.remove(name) == ""
    assert accounts.lookup(name) is None


def test_shared_folders_of_the_administrator_are_left_alone(place: Layout) -> None:
    for path, mode in ((place.sysconfdir, 0o711), (place.log_dir, 0o755), (place.prefix, 0o755)):
        Path(path).mkdir(parents=True)
        Path(path).chmod(mode)
    other = Path(place.log_dir) / "engine.log"
    other.write_text("not ours\n", encoding="utf-8")
    assert run_installer("install", place).returncode == 0
    assert stat.S_IMODE(os.stat(place.sysconfdir).st_mode) == 0o711
    assert run_installer("uninstall", place).returncode == 0
    assert [path for path in entries(root_of(place)) if path.is_file()] == [other]
    assert os.path.isdir(place.prefix)


def test_shared_folder_that_others_can_write_is_refused(place: Layout) -> None:
    Path(place.prefix, "libexec").mkdir(parents=True)
    os.chmod(Path(place.prefix, "libexec"), 0o777)  # noqa: S103  the danger
    refused = run_installer("install", place)
    assert refused.returncode == 1
    assert f"{place.prefix}/libexec can be written by others" in refused.stderr
    assert not os.path.exists(place.helper)


# The modules that are loaded at boot


def kernel_with(folder: Path, *modules: str) -> Path:
    """Make a folder of kernels of which the running one has those modules."""
    made = folder / os.uname().release
    made.mkdir(parents=True)
    (made / "modules.dep").write_text("".join(f"kernel/drivers/{name}.ko.xz: kernel/other.ko\n" for name in modules[:1]))
    (made / "modules.builtin").write_text("".join(f"kernel/drivers/{name}.ko\n" for name in modules[1:]))
    return folder


def test_modules_are_loaded_at_boot_where_the_kernel_has_them(tmp_path: Path) -> None:
    layout = Layout("/opt/daos", "/etc/daos", destdir=str(tmp_path))
    (item,), left = settings.items(replace(layout, destdir=""), kernel_with(tmp_path / "all", "vfio-pci", "vfio_iommu_type1"))
    assert (item.path, left) == ("/etc/modules-load.d/daos.conf", [])
    found, left = settings.items(replace(layout, destdir=""), kernel_with(tmp_path / "half", "vfio-pci"))
    assert (found, left) == ([], ["/etc/modules-load.d/daos.conf left out: this kernel has no module vfio_iommu_type1"])
    assert [one.path for one in settings.items(layout, tmp_path)[0]] == [item.path], "a package is for any kernel"
    assert layout_under(tmp_path).modules_load == f"{tmp_path}/etc/modules-load.d"


def test_what_the_administrator_changed_is_neither_written_again_nor_removed(tmp_path: Path) -> None:
    layout = layout_under(tmp_path)
    kernels = kernel_with(tmp_path / "kernels", "vfio-pci", "vfio_iommu_type1")
    items, _ = settings.items(layout, kernels)
    file = Path(items[0].path)
    file.parent.mkdir(parents=True)
    recorded, left = settings.place(layout, items, {})
    assert (list(recorded), left) == ([str(file)], [])
    file.write_text("an older version of ours")
    recorded = {str(file): settings.digest(file)}
    recorded, left = settings.place(layout, items, recorded)
    assert (left, settings.digest(file)) == ([], recorded[str(file)]), "brought up to date"
    file.write_text("uio_pci_generic\n")
    assert settings.place(layout, items, recorded) == (recorded, [f"{file} is not as it was installed: left as it is"])
    assert settings.remove(layout, recorded) == [f"{file}: it was changed after it was installed"]
    assert file.read_text() == "uio_pci_generic\n"
    file.unlink()
    assert settings.remove(layout, recorded) == []
    recorded, _ = settings.place(layout, items, {})
    assert settings.remove(layout, recorded) == []
    assert not file.exists()
    shutil.copyfile(settings.MODULES / file.name, file)
    assert settings.place(layout, items, {}) == ({}, [f"{file} is not as it was installed: left as it is"]), "it is not ours to remove"


def test_an_installation_keeps_to_what_it_says_about_modules(place: Layout) -> None:
    items, left = settings.items(place)
    done = run_installer("install", place)
    assert [line for line in done.stdout.splitlines() if "modules-load.d" in line] == [f"install: {line}" for line in left]
    paths = {item.path for item in items}
    assert set(manifest.read(Path(place.manifest)).settings) == paths
    assert {str(path) for path in Path(place.modules_load).glob("*")} == paths
    assert run_installer("uninstall", place).returncode == 0
    assert entries(root_of(place)) == []


def test_a_manifest_keeps_what_it_is_told(tmp_path: Path) -> None:
    made = manifest.Manifest({"/a"}, settings={"/b": "digest"})
    made.write(tmp_path / "manifest.json")
    assert manifest.read(tmp_path / "manifest.json") == made
    older = json.loads((tmp_path / "manifest.json").read_text())
    older.pop("settings")
    (tmp_path / "manifest.json").write_text(json.dumps(older))
    assert manifest.read(tmp_path / "manifest.json") == manifest.Manifest({"/a"})
