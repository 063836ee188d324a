"""The report's command and its tables."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gs_esd.report import command
from gs_esd.report.command import write_report
from tests.helpers.run_dirs import begin_run, make_run


def test_tables_have_one_row_for_each_run(tmp_path: Path) -> None:
    prompt = '<b> & "x", 🐼'
    make_run(tmp_path, prompt)
    begin_run(tmp_path, "a corgi", 0.5, 7)
    infinite = {"inception_gain": float("inf"), "psnr_db": 25.5}
    write_report(tmp_path, lambda run: infinite)

    rows = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["status"] for row in rows] == ["finished", "unfinished"]
    assert rows[0]["prompt"] == prompt
    assert rows[0]["measures"] == {"inception_gain": None, "psnr_db": 25.5}
    assert rows[1]["config"]["prior.num_images"] == 1024
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        finished, unfinished = csv.DictReader(file)
    assert finished["prompt"] == prompt
    assert finished["measures.psnr_db"] == "25.5"
    assert finished["train_s"] == "51.25"
    assert (unfinished["seed"], unfinished["gaussians"]) == ("7", "")


def test_command_prints_path_of_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), "--no-measure"])
    command.main()
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    with pytest.raises(SystemExit, match="there is no folder"):
        command.main([str(tmp_path / "nothing")])


@pytest.mark.parametrize("prog", ["python -m gs_esd.report", "gs-esd report"])
def test_help_names_the_typed_command(prog: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"], prog=prog)
    assert capsys.readouterr().out.startswith(f"usage: {prog} ")


def test_no_measure_imports_no_torch(tmp_path: Path) -> None:
    make_run(tmp_path)
    program = (
        "import sys, pathlib; from gs_esd.report.command import write_report; "
        "write_report(pathlib.Path(sys.argv[1]), None); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)
