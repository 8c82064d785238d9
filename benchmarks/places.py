"""Four places of a Dask cluster against one, where the archive is what takes the time: 20 ms for each image."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import SMOKE, Contestant, Experiment, Row, Scale, Unavailable, ratio, stopwatch
from dicomover import Mover, Node, Place
from peers import free_port

__all__ = ["EXPERIMENT"]

ONE, FOUR = "one place", "four places"
_IMAGES = 20  # of a study
_WORKERS = 2

_ARCHIVE = """
import json, sys
from dicomover.testing import DemoPacs, Misbehaviour, made_studies
ports, studies, images = json.loads(sys.argv[1])
slow = Misbehaviour("slow", seconds=0.02)
with DemoPacs(made_studies(studies, instances=images), misbehave={"*": slow}) as pacs:
    pacs.destinations.update(ports)
    print(json.dumps([pacs.node.port, [study.study_instance_uid for study in pacs.studies]]), flush=True)
    sys.stdin.read()
"""


@contextmanager
def _archive(ports: Mapping[str, int], studies: int, images: int) -> Iterator[tuple[Node, list[str]]]:
    told = json.dumps([ports, studies, images])
    command = [sys.executable, "-c", _ARCHIVE, told]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port, uids = json.loads(process.stdout.readline())
            yield Node("127.0.0.1", port, ae_title="DEMO"), uids
        finally:
            process.stdin.close()


@contextmanager
def _prepare(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise Unavailable("Dask is not installed") from None
    images = min(_IMAGES, scale.images)
    places = [Place(f"MOVER{number}", free_port()) for number in range(1, 5)]
    runs = itertools.count()
    with contextlib.ExitStack() as stack:
        ports = {place.ae_title: place.port for place in places}
        node, uids = stack.enter_context(_archive(ports, scale.images // images, images))
        is_measured = scale is not SMOKE  # else threads will do, which begin sooner
        cluster = LocalCluster(
            n_workers=_WORKERS, threads_per_worker=1, dashboard_address=":0", processes=is_measured, protocol="tcp"
        )
        client = stack.enter_context(Client(stack.enter_context(cluster)))

        def move(count: int) -> Callable[[], float]:
            """Move all to so many places, each with one association at a time."""

            def run() -> float:
                mover = Mover(node, receive=folder / str(next(runs)), progress="none")
                with stopwatch() as seconds:
                    summary = mover.move(
                        [{"StudyInstanceUID": uid} for uid in uids],
                        on=client,
                        places=places[:count],
                        associations=count,
                    )
                if set(summary["status"]) != {"success"}:
                    raise RuntimeError(f"not moved: {summary['status'].value_counts().to_dict()}")
                return seconds() / int(summary["received"].sum())

            return run

        yield {ONE: Contestant(move(1), 3), FOUR: Contestant(move(4), 3)}


EXPERIMENT = Experiment(
    "places",
    "1,000 images of an archive that takes 20 ms for each and sends to each place on one association",
    [
        Row(
            "Dask, an archive that takes 20 ms an image: four places, as a share of the time of one",
            ratio(FOUR, ONE),
            target=0.3,
            at_most=True,
        )
    ],
    _prepare,
    unit="ms an image",
)
