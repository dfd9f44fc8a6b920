"""The benchmark itself: that all of it runs, and that its ratios come from what it measured. No speed is asserted."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.peers import require

from .clients import HASHLIB, STREAM, US, Client, found_clients
from .copiers import found_copiers
from .measure import CommandFailed, Sample, run
from .plot import plot
from .registries import found_registries
from .runs import Bench, Result
from .scenarios import LINE_RATE, ROUND_TRIP, Kind, Scenario, Sizes, all_scenarios
from .stage import Shape
from .table import markdown, rows

SHAPE = Shape(1, 4 * LINE_RATE)


def result(name: str, *walls: float, cpu: float = 1.0, peak: int = 10**7, hashes: bool = True, **about: bool) -> Result:
    scenario = Scenario("big", "much in one blob", (SHAPE,), (), **about)  # type: ignore[arg-type]  # flags only
    client = Client(name, hashes, lambda _: [])
    return Result(scenario, "distribution 3", SHAPE, client, [Sample(wall, cpu, peak) for wall in walls])


def measured(**about: bool) -> list[Result]:
    return [
        result(US, 3.0, 1.0, 2.0, cpu=1.5, peak=40_000_000, **about),
        result("regctl", 4.0, 4.0, 9.0, cpu=2.0, peak=20_000_000, **about),
        result("skopeo", 8.0, 8.0, 8.0, cpu=4.0, **about),
        result("crane", 0.5, 0.5, 0.5, cpu=0.1, hashes=False, **about),
        result(HASHLIB, 1.0, 1.0, 1.0, cpu=1.2, hashes=False, **about),
    ]


@pytest.mark.real
def test_every_scenario_is_run_and_told(tmp_path: Path) -> None:
    require("docker-registry")
    require("skopeo")
    scenarios = all_scenarios(Sizes.quick())

    # One peer is enough to show that peers are compared with, and who is slow to start would only take time.
    def clients(kind: Kind) -> list[Client]:
        found = found_clients(None) if kind is Kind.PUSH else found_copiers(None, kind)
        return [client for client in found if client.name in (US, "skopeo", HASHLIB, STREAM)]

    registries = [each for each in found_registries(None) if each.name == "distribution 2.8"]
    said: list[str] = []
    bench = Bench(tmp_path, registries, clients, 1, said.append)
    results = [each for scenario in scenarios for each in bench.measure(scenario)]
    text = markdown(results)
    for scenario in scenarios:
        assert f"**{scenario.name}**: {scenario.says} → " in text
    assert all(len(each.samples) == 1 for each in results)
    assert all(each.samples[0].wall > 0 and each.samples[0].cpu > 0 for each in results)
    assert "sink" in text, "the one who keeps nothing"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_ratios_are_those_of_the_medians() -> None:
    ours, regctl, skopeo, crane, hashing = rows(measured())
    assert (ours.wall, ours.least, ours.peak) == (2.0, 1.0, 40_000_000)
    assert ours.to_peer == 2.0 / 4.0, "the fastest that hashes is regctl; crane does not"
    assert (regctl.to_peer, skopeo.to_peer, crane.to_peer) == (1.0, 2.0, 0.125)
    assert (ours.to_hashing, hashing.to_hashing) == (1.5 / 1.2, 1.0)


def test_there_is_no_ratio_to_nobody() -> None:
    (ours,) = rows([result(US, 2.0)])
    assert (ours.to_peer, ours.to_hashing) == (None, None)


def test_round_trips_are_what_is_beside_the_bytes() -> None:
    ours = rows(measured(line=True))[0]
    assert ours.round_trips == pytest.approx((2.0 - 4.0) / ROUND_TRIP), "four seconds of the line's rate"
    assert "| -40 |" in markdown(measured(line=True))


def test_the_table_tells_figures_and_ratios() -> None:
    lines = markdown(measured()).splitlines()
    assert lines[0] == "**big**: much in one blob → distribution 3"
    assert f"| **{US}** | yes | 2.00 (1.00) | 1.50 | 40 | 0.50 | 1.25 |" in lines
    assert f"| {HASHLIB} | – | 1.00 (1.00) | 1.20 | 10 | – | 1.00 |" in lines


def test_the_plot_shows_ratios_to_ours() -> None:
    texts = [element.text for element in ET.fromstring(plot(measured())).iter("{http://www.w3.org/2000/svg}text")]
    at = texts.index("regctl")
    assert texts[at + 1 : at + 4] == ["2.00", "1.33", "0.50"]
    assert texts[texts.index(US) + 1] == "1.00"


def test_growth_is_told_for_each_unit() -> None:
    scenario = Scenario("layers", "more", (), (US,), unit="layer")
    client = Client(US, True, lambda _: [])
    grown = [
        Result(scenario, "distribution 3", Shape(count, 1000), client, [Sample(wall, wall / 2, 10**7)])
        for count, wall in ((100, 1.0), (1_000, 5.0))
    ]
    lines = markdown(grown).splitlines()
    assert f"| {US} | 100 | 1.00 | 0.50 | 10 | 5 | 10 |" in lines
    assert f"| {US} | 1,000 | 5.00 | 2.50 | 5 | 2.5 | 10 |" in lines


def test_the_cost_of_children_is_counted(tmp_path: Path) -> None:
    spent = tmp_path / "spent"
    work = (
        "import sys, time\n"
        "held = bytearray(96 << 20)\n"
        "sum(range(3_000_000))\n"
        f"open({str(spent)!r}, 'w').write(str(time.process_time()))\n"
    )
    sample = run(
        ["/bin/sh", "-c", f'"$0" -I -S -c "{work}"; true', sys.executable], {}, folder=tmp_path, log=tmp_path / "log"
    )
    assert sample.cpu >= float(spent.read_text())
    assert sample.peak > 96 << 20 > sample.floor


def test_a_push_that_fails_is_no_sample(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=re.compile("failed.*no such model", re.DOTALL)):
        run(["/bin/sh", "-c", "echo no such model; exit 3"], {}, folder=tmp_path, log=tmp_path / "log")
