"""python -m gs_esd.export: formats, options and errors."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gs_esd.export.axes import FileAxes
from gs_esd.export.command import main
from gs_esd.export.frames import to_file_axes
from gs_esd.export.ply import load_metadata, load_splats, save_splats
from tests.helpers.splat_files import colorful_splats, decode_glb, decode_splat, raw_splats


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save_splats(colorful_splats(300, 2), tmp_path / "a.ply", metadata={"prompt": "a corgi"})
    return tmp_path / "a.ply"


def export(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["gs_esd.export", *map(str, words)])
    main()


def test_format_by_file_ending(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.ply", "b.compressed.ply", "b.splat", "b.glb"):
        export(monkeypatch, source, source.with_name(name))
    same, splats = raw_splats(source.with_name("b.ply"), 300, 2), raw_splats(source, 300, 2)
    for name in splats:
        torch.testing.assert_close(same[name], splats[name], rtol=0, atol=1e-6)
    assert b"packed_position" in source.with_name("b.compressed.ply").read_bytes()
    assert len(decode_splat(source.with_name("b.splat"))["means"]) == 300
    found, described = decode_glb(source.with_name("b.glb"))
    assert torch.equal(found["means"], to_file_axes(load_splats(source), FileAxes.y_up)["means"])
    assert described["asset"]["extras"]["prompt"] == "a corgi"
    assert load_metadata(source.with_name("b.compressed.ply"))["prompt"] == "a corgi"


def test_output_path_printed(source: Path) -> None:
    words = [sys.executable, "-m", "gs_esd.export", source, source.with_name("b.splat")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"{source.with_name('b.splat')}\n"


def test_help_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    for prog in ("python -m gs_esd.export", "gs-esd export"):
        with pytest.raises(SystemExit, match="0"):
            main(["--help"], prog)
        shown = " ".join(capsys.readouterr().out.split())
        assert shown.startswith(f"usage: {prog} ")
        assert f"{prog} splats.ply OUT" in shown


@pytest.mark.parametrize("up", ["y-down", "z-up", "y-up"])
def test_up_and_from_up_options(source: Path, monkeypatch: pytest.MonkeyPatch, up: str) -> None:
    splats = load_splats(source)
    target, foreign = source.with_name("b.ply"), source.with_name("c.ply")
    export(monkeypatch, source, target, "--up", up)
    assert load_metadata(target) == load_metadata(source) | {"up": up}
    assert torch.equal(
        raw_splats(target, 300, 2)["means"], to_file_axes(splats, FileAxes(up))["means"]
    )
    content = target.read_bytes()
    foreign.write_bytes(content.replace(b"comment gs_esd", b"comment another"))
    export(monkeypatch, foreign, source.with_name("d.splat"), "--from-up", up, "--up", "z-up")
    found = decode_splat(source.with_name("d.splat"))["means"]
    assert torch.equal(found.sort(dim=0).values, splats["means"].sort(dim=0).values)


def test_pad_sh_option(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, source, source.with_name("b.ply"), "--pad-sh")
    found, splats = load_splats(source.with_name("b.ply")), load_splats(source)
    assert found["shN"].shape == (300, 15, 3)
    torch.testing.assert_close(found["shN"][:, :8], splats["shN"], rtol=0, atol=1e-6)
    assert not found["shN"][:, 8:].any()


def test_activated_and_raw_options(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splats = load_splats(source)
    target = source.with_name("b.ply")
    wrong = {**splats, "scales": splats["scales"].exp(), "opacities": splats["opacities"].sigmoid()}
    save_splats(torch.nn.ParameterDict(wrong), target)
    target.write_bytes(target.read_bytes().replace(b"comment gs_esd", b"comment another"))
    with pytest.raises(SystemExit, match=r"seems to hold activated values"):
        export(monkeypatch, target, source.with_name("c.ply"))
    assert not source.with_name("c.ply").exists()
    export(monkeypatch, target, source.with_name("c.ply"), "--activated")
    found = load_splats(source.with_name("c.ply"))
    torch.testing.assert_close(found["scales"], splats["scales"], rtol=0, atol=1e-5)
    torch.testing.assert_close(found["opacities"], splats["opacities"], rtol=0, atol=1e-5)
    export(monkeypatch, target, source.with_name("d.ply"), "--raw")
    assert load_splats(source.with_name("d.ply"))["scales"].min() > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.ply", "b.spz"], r"b\.spz does not say which format: end it in \.ply"),
        (["a.ply", "b.glb", "--up", "z-up"], "glTF is y-up, it cannot be z-up"),
        (["none.ply", "b.ply"], "cannot read .*No such file"),
        (["a.ply", "none/b.splat"], "cannot write .*No such file"),
    ],
)
def test_wrong_arguments_error(
    source: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(source.parent)
    with pytest.raises(SystemExit, match=message):
        export(monkeypatch, *words)
    assert not Path(words[1]).exists()
