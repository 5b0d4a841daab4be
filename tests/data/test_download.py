"""Downloads from a server on this machine that can be made to misbehave."""

import errno
import io
import os
from pathlib import Path

import pytest
from data_helpers import write_files

from benchmarks.reliability.downloads import Scenario, play, scenarios
from benchmarks.reliability.mirror import FAULTS, NAMES, Answer, Mirror, small_archive
from scratchvae.data import download
from scratchvae.data.mnist import load_archive
from scratchvae.errors import DataError, DownloadError


def cached(name: str) -> Path:
    return Path(os.environ["SCRATCHVAE_CACHE"]) / "small" / f"{name}.gz"


def test_the_four_files_are_fetched_once(mirror: Mirror, capfd: pytest.CaptureFixture[str]) -> None:
    archive = small_archive(mirror.url("good"))
    first = load_archive(archive)
    assert mirror.log == [f"/good/{name}.gz" for name in NAMES]
    second = load_archive(archive, download=False)
    assert len(mirror.log) == 4
    assert first.fingerprint == second.fingerprint
    assert capfd.readouterr() == ("", "")  # no terminal: no progress bar, and pooch is silent


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.2))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_helps(mirror: Mirror, fault: str) -> None:
    assert load_archive(small_archive(mirror.url(fault), mirror.url("good"))).notes == ()
    assert mirror.log[:2] == [f"/{path}/{NAMES[0]}.gz" for path in (mirror.folder(fault), "good")]


def test_a_mirror_that_hiccups_gets_a_second_chance(mirror: Mirror) -> None:
    mirror.behaviours["hiccup"] = lambda body: Answer(body, 503 if len(mirror.log) == 1 else 200)
    assert len(load_archive(small_archive(mirror.url("hiccup"))).train) == 5


def test_a_body_that_is_short_but_says_so_is_not_kept(mirror: Mirror) -> None:
    mirror.behaviours["half"] = lambda body: Answer(body[: len(body) // 2])
    assert load_archive(small_archive(mirror.url("half"), mirror.url("good"))).notes == ()


def test_a_body_without_an_end_is_left(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_DOWNLOAD", 1 << 20)
    mirror.behaviours["endless"] = lambda body: Answer(bytes(8 << 20), promised=1 << 40)
    assert load_archive(small_archive(mirror.url("endless"), mirror.url("good"))).notes == ()
    assert sorted(path.name for path in cached(NAMES[0]).parent.iterdir()) == sorted(
        f"{name}.gz" for name in NAMES
    )


def test_when_every_mirror_fails_the_error_says_what_was_tried_and_what_to_do(
    mirror: Mirror,
) -> None:
    closed = "http://127.0.0.1:9/"  # the discard port, without a listener
    mirrors = [*map(mirror.url, FAULTS), closed]
    with pytest.raises(DownloadError) as caught:
        load_archive(small_archive(*mirrors))
    message = str(caught.value)
    for expected in (*mirrors, *NAMES, "--data-dir", "SCRATCHVAE_DATA"):
        assert expected in message
    reasons = "answered 404", "answered 503", "sent other bytes", "broke off", "timed out"
    for why in (*reasons, "could not be reached"):
        assert why in message
    assert list(cached(NAMES[0]).parent.iterdir()) == []  # no file in part, no orphan


def test_a_mirror_that_says_nothing_at_all_is_left(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ROUNDS", 1)
    mirror.behaviours["mute"] = lambda body: (mirror.patience.wait(5), Answer(body))[1]
    with pytest.raises(DownloadError, match="timed out"):
        load_archive(small_archive(mirror.url("mute")))


def test_a_damaged_cache_repairs_itself(mirror: Mirror) -> None:
    archive = small_archive(mirror.url("good"))
    load_archive(archive)
    content = cached(NAMES[2]).read_bytes()
    cached(NAMES[2]).write_bytes(content[:-1] + b"!")
    mirror.log.clear()
    load_archive(archive)
    assert mirror.log == [f"/good/{NAMES[2]}.gz"]
    assert cached(NAMES[2]).read_bytes() == content


def test_a_damaged_cache_is_not_read_without_a_network(mirror: Mirror) -> None:
    archive = small_archive(mirror.url("good"))
    load_archive(archive)
    cached(NAMES[2]).write_bytes(b"")
    with pytest.raises(DownloadError, match=f"^{NAMES[2]}.gz of small are not in"):
        load_archive(archive, download=False)


def test_a_data_folder_without_the_files_is_said_and_the_download_goes_on(
    mirror: Mirror, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    data = load_archive(small_archive(mirror.url("good")), tmp_path / "empty")
    assert len(mirror.log) == 4
    assert "holds none of the files" in data.notes[0]


def test_a_cache_that_cannot_be_written_is_no_mirrors_fault(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("in the way")
    monkeypatch.setenv("SCRATCHVAE_CACHE", str(tmp_path / "a-file"))
    with pytest.raises(DataError, match="cannot be kept there") as caught:
        load_archive(small_archive(mirror.url("good")))
    assert not isinstance(caught.value, DownloadError)


def test_a_disk_that_fills_up_is_no_mirrors_fault(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: download.Limited, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = small_archive(mirror.url("good"))
    with monkeypatch.context() as patch:
        patch.setattr(download.Limited, "write", full)
        with pytest.raises(DataError, match=r"kept there \(No space left") as caught:
            load_archive(archive)
    assert not isinstance(caught.value, DownloadError)
    assert list(cached(NAMES[0]).parent.iterdir()) == []
    assert load_archive(archive).notes == ()


def test_a_cache_that_is_complete_is_read_and_never_written(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(cached(NAMES[0]).parent)
    monkeypatch.setattr(download, "download_file", lambda *_: pytest.fail("asked for a file"))
    assert load_archive(small_archive(mirror.url("good"))).notes == ()
    assert mirror.log == []


@pytest.mark.parametrize("scenario", scenarios(1)[len(FAULTS) :], ids=lambda s: s.name)
def test_what_the_script_plays_ends_well(scenario: Scenario) -> None:
    """Once each, with processes of their own; the faults of mirrors are played above."""
    assert play(scenario) == 1


def test_a_progress_bar_is_drawn_on_a_terminal_only_unless_quiet(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "on_a_terminal", lambda: True)
    load_archive(small_archive(mirror.url("good")), quiet=True)
    assert capfd.readouterr().err == ""
    cached(NAMES[0]).unlink()
    load_archive(small_archive(mirror.url("good")))
    assert "100%" in capfd.readouterr().err


def test_the_bar_of_a_transfer_counts_megabytes_and_ends_its_line() -> None:
    stream = io.StringIO()
    bar = download.TransferBar("images.gz", stream)
    bar.total = 4_000_000
    bar.update(3_000_000)
    bar.update(3_000_000)  # pooch counts whole chunks: never more than all
    bar.close()
    bar.total = 0  # a server that does not say how much it sends
    bar.update(500_000)
    bar.close()
    assert stream.getvalue() == (
        "\rimages.gz: 3.0 of 4.0 MB, 75%\rimages.gz: 4.0 of 4.0 MB, 100%\n\rimages.gz: 0.5 MB\n"
    )


def test_without_a_variable_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRATCHVAE_CACHE")
    assert "scratchvae" in str(download.cache_folder())
