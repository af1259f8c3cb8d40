import pytest

from authsvc import settings as settings_module
from authsvc.errors import Unavailable
from authsvc.jobs import queue
from authsvc.jobs.producer import Producer
from tests.conftest import free_port


@pytest.fixture
def producer(settings) -> Producer:
    return Producer(lambda: settings)


@pytest.fixture
def lost(home) -> Producer:
    """One whose queue is away."""
    settings = settings_module.load(
        {"AUTHSVC_HOME": str(home), "AUTHSVC_QUEUE__URL": f"redis://127.0.0.1:{free_port()}"}
    )
    return Producer(lambda: settings)


def test_what_it_tells_is_a_job_of_the_worker(producer, built, settings):
    producer.tell("rotate")
    assert producer.length() == 1
    worker = queue.make_queue(settings)
    queue.register(worker, lambda: built)
    task = worker.dequeue()
    queue.ends(worker)
    assert type(task) is worker._registry.string_to_task("authsvc.jobs.queue.rotate")
    assert producer.length() == 0


def test_a_queue_that_is_away_stops_nobody(lost, caplog):
    lost.tell("rotate")
    assert "the worker was not told to rotate" in caplog.text


def test_a_queue_that_is_away_has_no_length(lost):
    with pytest.raises(Unavailable):
        lost.length()
