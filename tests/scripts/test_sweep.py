import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import sweep
from configs import RUNS
from configs.ablations import ABLATIONS, GROUPS, TINY
from sweep_report import CURVE


class Machine:
    """Stands in for the commands of a sweep: notes them, and writes what they would; the run `broken` fails."""

    def __init__(self, broken=None):
        self.commands, self.broken = [], broken

    def run(self, command, *, env, stdout, **_):
        self.commands.append((command, env["CUDA_VISIBLE_DEVICES"]))
        if self.broken and any(self.broken == word for word in command):
            stdout.write("step 1\ntrain.py: error: nothing to be had\n")
            return SimpleNamespace(returncode=2)
        folder = Path(command[command.index("--output") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        if "eval/evaluate.py" in command:
            seed = int(folder.parent.name)
            mean = {"psnr": {"mean": 20.0 + seed}, "ssim": None}
            methods = command[command.index("--methods") + 1 :]
            report = {"methods": {method.partition("=")[0]: {"mean": mean} for method in methods}}
            (folder / "report.json").write_text(json.dumps(report))
        else:
            cost = {"peak_memory_mib": 100.0}
            lines = [{"step": 1, "seconds_per_step": 5.0} | cost]  # the first one has the start
            lines += [{"step": step, "seconds_per_step": 0.5} | cost for step in (2, 3)] + [{"step": 3, CURVE: 21.5}]
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            (folder / "samples").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / "samples" / "step-00000002.png"), np.zeros((4, 4, 3), np.uint8))
        return SimpleNamespace(returncode=0)


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(sweep.subprocess, "run", machine.run)
    monkeypatch.setattr(sweep, "find_devices", lambda: [None])
    return machine


def rows_of(folder):
    with open(folder / "table.csv", encoding="utf-8") as file:
        return {(row["group"], row["run"]): row for row in csv.DictReader(file)}


def test_every_row_has_a_run_of_both_sizes():
    for ablation in ABLATIONS:
        full, tiny = RUNS[ablation.name], RUNS[ablation.name + TINY]
        assert full == ablation.run
        assert type(full.model.adapter) is type(tiny.model.adapter)
        assert (full.objective, full.schedule) == (tiny.objective, tiny.schedule)
        assert full.model.sampling_steps == tiny.model.sampling_steps


def test_rows_of_one_group_differ():
    for group in GROUPS:
        runs = [ablation.run for ablation in ABLATIONS if ablation.group == group]
        assert all(one != other for i, one in enumerate(runs) for other in runs[:i]), group


def test_a_sweep_trains_each_run_once_and_scores_it(machine, tmp_path, capsys):
    assert sweep.main(["table-3", "why-joint", "--seeds", "2", "--output", str(tmp_path)]) == 0
    trained = [command for command, _ in machine.commands if "scripts/train.py" in command]
    names = [command[command.index("scripts/train.py") + 1] for command in trained]
    assert names[:2] == ["offset-pretraining" + TINY] * 2, "estimators come first, one for each seed"
    rows = {ablation.name for ablation in ABLATIONS if ablation.group in ("table-3", "why-joint")}
    assert sorted(names[2:]) == sorted(2 * [name + TINY for name in rows])
    row = rows_of(tmp_path)["table-3", "v4"]
    assert row["paper, PSNR"] == "34.41"
    assert row["psnr"].startswith("20.5 ± 0.71")
    assert row["seconds_per_step"].startswith("0.5")
    assert row["failed"] == ""
    assert "| table-3 | rdm |" in capsys.readouterr().out


def test_the_estimator_is_frozen_into_runs_with_offsets_only(machine, tmp_path):
    sweep.main(["table-3", "kernel", "small", "--output", str(tmp_path)])
    frozen = {}
    for command, _ in machine.commands:
        if "scripts/train.py" in command:
            field = "--model.adapter.estimator"
            name = command[command.index("scripts/train.py") + 1].removesuffix(TINY)
            frozen[name] = Path(command[command.index(field) + 1]).parts[-4] if field in command else None
    assert frozen["v1"] is None
    assert frozen["opdm"] == "offset-pretraining"
    assert frozen["kernel-3"] == "offset-pretraining-3"
    assert frozen["opdm-small"] is None
    assert frozen["small-offsets"] == "offset-pretraining-small"


def test_the_estimator_learns_from_the_same_data(machine, tmp_path):
    data = ["--clips", "shots/", "--data.held-out", "cat", "dog"]
    others = ["--objective.perceptual-weight", "0"]
    sweep.main(["kernel", "--output", str(tmp_path), "--fields", *data[:2], *others, *data[2:]])
    trained = [command for command, _ in machine.commands if "scripts/train.py" in command]
    for command in trained:
        assert all(word in command for word in data)
        assert (others[0] in command) == ("pretraining" not in command[2])


def test_done_rows_are_not_done_again(machine, tmp_path):
    arguments = ["table-3", "--output", str(tmp_path)]
    sweep.main(arguments)
    machine.commands.clear()
    sweep.main(arguments)
    assert not machine.commands
    sweep.main([*arguments, "--fields", "--steps", "7"])
    assert any("7" in command for command, _ in machine.commands), "other fields are another sweep"


def test_a_failure_is_told_in_its_row_and_stops_nothing(machine, tmp_path):
    machine.broken = "v3-tiny"
    assert sweep.main(["table-3", "--output", str(tmp_path)]) == 1
    rows = rows_of(tmp_path)
    assert rows["table-3", "v3"]["failed"] == "seed 0: train.py: error: nothing to be had"
    assert rows["table-3", "v3"]["psnr"] == ""
    machine.commands.clear()
    machine.broken = None
    assert sweep.main(["table-3", "--output", str(tmp_path)]) == 0
    assert all("v3-tiny" in command or str(tmp_path / "v3") in " ".join(command) for command, _ in machine.commands)
    assert rows_of(tmp_path)["table-3", "v3"]["psnr"]
    assert all(rows["table-3", name]["psnr"] for name in ("rdm", "v1", "v2", "v4", "opdm"))


def test_rows_of_equal_time_get_the_steps_that_fit(machine, tmp_path):
    sweep.main(["table-3", "--minutes", "2", "--output", str(tmp_path)])
    steps = {}
    for command, _ in machine.commands:
        if "scripts/train.py" in command and "--steps" in command:
            steps.setdefault(Path(command[command.index("--output") + 1]).parent.name, set()).add(
                int(command[command.index("--steps") + 1])
            )
    # The machine says that a step takes half a second.
    assert steps == {"probe": {30}, "0": {240}}
    estimator = "offset-pretraining" + TINY
    assert any({estimator, "240"} <= set(command) for command, _ in machine.commands), "as long as a row"
    machine.commands.clear()
    sweep.main(["table-3", "--minutes", "2", "--output", str(tmp_path)])
    assert not machine.commands, "all are measured, trained and scored already"


def test_a_machine_too_slow_to_be_measured_is_told(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))  # writes nothing
    assert sweep.main(["steps", "--minutes", "2", "--output", str(tmp_path)]) == 1
    assert "not one step in the minute" in rows_of(tmp_path)["steps", "opdm"]["failed"]


def test_rows_are_scored_with_the_steps_that_are_asked_for(machine, tmp_path):
    sweep.main(["steps", "--sampling-steps", "1", "10", "--output", str(tmp_path)])
    scored = [command for command, _ in machine.commands if "eval/evaluate.py" in command]
    pipeline = tmp_path / "opdm" / "0" / "run" / "pipeline"
    assert [f"opdm@1={pipeline}@1", f"opdm@10={pipeline}@10"] in [command[-2:] for command in scored]
    row = rows_of(tmp_path)["steps", "opdm"]
    assert row["psnr@1"] and row["psnr@10"] and "psnr" not in row


def test_every_gpu_gets_work(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "find_devices", lambda: ["0", "3"])
    sweep.main(["table-3", "--output", str(tmp_path)])
    assert {device for _, device in machine.commands} <= {"0", "3"}


def test_the_page_opens_offline(machine, tmp_path):
    sweep.main(["steps", "--output", str(tmp_path)])
    found = []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Page().feed((tmp_path / "sweep.html").read_text(encoding="utf-8"))
    sources = [attributes["src"] for tag, attributes in found if tag == "img"]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [tag for tag, attributes in found if tag in ("script", "link") or "href" in attributes]
    curves = [attributes["points"].split() for tag, attributes in found if tag == "polyline"]
    dots = [f"{attributes['cx']},{attributes['cy']}" for tag, attributes in found if tag == "circle"]
    assert curves and dots == [point for points in curves for point in points], "one validation is seen, too"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table-3", "--minutes", "0"], "--minutes 0: give more than 0"),
        (["table-9"], "no group is called table-9; there are all, table-2"),
        (["steps", "--seeds", "0"], "at least one"),
        (["steps", "--sampling-steps", "1", "0"], "--sampling-steps 1 0: give at least one"),
    ],
)
def test_bad_requests_get_one_line(machine, tmp_path, capsys, arguments, message):
    assert sweep.main([*arguments, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
