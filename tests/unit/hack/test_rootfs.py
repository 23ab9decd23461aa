"""Root file systems of Debian packages: which packages, and where their files end up."""

from pathlib import Path

from hack.cluster import rootfs

LISTING = """\
bash
  PreDepends: libc6
  PreDepends: libtinfo6
  Depends: base-files
coreutils
  PreDepends: libacl1
 |Depends: first-choice
  Depends: second-choice
  Depends: <virtual>
    real-one
libc6
  Depends: libgcc-s1
libgcc-s1
  Depends: gcc-12-base
  Depends: libc6
"""


def test_depends_takes_the_first_alternative_and_no_virtual_package() -> None:
    depends = rootfs.parse_depends(LISTING)

    assert depends["bash"] == ["libc6", "libtinfo6", "base-files"]
    assert depends["coreutils"] == ["libacl1", "first-choice"]


def test_closure_follows_circles_once_and_leaves_out_what_only_scripts_need() -> None:
    depends = rootfs.parse_depends(LISTING)

    assert rootfs.closure(["bash"], depends) == ["bash", "libc6", "libgcc-s1", "libtinfo6"]


def test_merge_moves_top_folders_into_usr_and_links_them(tmp_path: Path) -> None:
    (tmp_path / "lib/x86_64-linux-gnu").mkdir(parents=True)
    (tmp_path / "lib/x86_64-linux-gnu/libc.so.6").write_text("libc")
    (tmp_path / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu/libz.so.1").write_text("libz")
    (tmp_path / "usr/bin").mkdir()

    rootfs.merge_usr(tmp_path)

    assert (tmp_path / "lib").readlink() == Path("usr/lib")
    assert (tmp_path / "bin").readlink() == Path("usr/bin")
    assert (tmp_path / "usr/lib/x86_64-linux-gnu/libc.so.6").read_text() == "libc"
    assert (tmp_path / "lib/x86_64-linux-gnu/libz.so.1").read_text() == "libz"
    assert not (tmp_path / "lib64").exists()
