"""The workers of a real cluster: who there is, and what an answer means."""

from __future__ import annotations

import pytest

from cluster_kit import cluster, needs_dask
from dicomover import ReceiverError
from dicomover.cluster.messages import Held, Trouble
from dicomover.cluster.workers import Busy, Gone, Silent, Workers, read


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (Trouble("no lease", is_gone=True), Gone, "no lease"),
        (Trouble("port 11112 is in use", "wait", is_passing=True), Busy, "port 11112 is in use; wait"),
        (Trouble("the disk is full"), ReceiverError, "the disk is full"),
        (ModuleNotFoundError("dicomover"), ReceiverError, "install the same version"),
        (OSError("no route"), Silent, "OSError"),
    ],
)
def test_an_answer_that_stands_for_an_error(answer: object, kind: type[Exception], says: str) -> None:
    """What a worker could not do is an error that says what to do; that it did not answer is none of its receiver's."""
    error = read(answer)
    assert type(error) is kind
    assert says in str(error)


@needs_dask
def test_a_cluster_is_asked() -> None:
    """Its workers are those of the scheduler, at their machines; who is gone is silent, and a closed client known."""
    with cluster(1, processes=False) as client:
        workers = Workers(client)
        (address,) = workers.list_all()
        assert workers.has(address)
        assert not workers.has("tcp://127.0.0.1:9")
        assert workers.list_at("nowhere.invalid") == []
        assert workers.ask(address, "look", ("MOVER1", 11112)) is None
        assert isinstance(workers.ask_all([address], "take", "a-1", 0, 0.1)[address], Gone)
        with pytest.raises(Silent):
            workers.ask("tcp://127.0.0.1:9", "look", ("MOVER1", 11112), seconds=0.2)
        with pytest.raises(Silent):  # Dask itself would try for half a minute
            workers.ask("tcp://127.0.0.1:9", "look", ("MOVER1", 11112), seconds=60)
        assert not workers.is_closed
        client.close()
        assert workers.is_closed
        with pytest.raises(Silent, match="scheduler does not answer"):
            workers.list_all()
    assert read(Held("a-1", 1)) == Held("a-1", 1)
