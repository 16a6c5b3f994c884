"""Pins what is said of a demand that has no place, how many generators a cluster holds, and where decode may run."""

import logging
import threading
from dataclasses import replace
from typing import Any

import pytest

from engine.config import Cluster
from engine.metrics import emit
from engine.metrics.table import GENERATOR_DEATHS, WAITING, Metric
from engine.nodes.demand import Demand
from engine.nodes.inventory import Growth, Inventory, Node, Pending, Process
from engine.nodes.placement import demands, placed
from engine.nodes.probe import COMPUTES, DECODES, Part, differences, part_of
from engine.nodes.shortage import refusal, shortage, too_small
from engine.run.waiting import Waiting

GENERATE = {"starloop/pool": "generate"}
TRAIN = {"starloop/pool": "train"}
GPU_NODE = {"CPU": 16.0, "GPU": 8.0}
H100 = {"ray.io/accelerator-type": "H100"}


def a_node(number: int, total: dict[str, float], labels: dict[str, str] | None = None, **fields: Any) -> Node:
    return Node(node_id=f"id-{number}", address=f"10.0.0.{number}", labels=labels or {}, total=total, free=total, **fields)


def an_inventory(*nodes: Node, **fields: Any) -> Inventory:
    return Inventory(**{"job": "01", "nodes": nodes} | fields)


def generators(count: int, gpus: float = 1.0, selector: dict[str, str] | None = None) -> list[Demand]:
    return demands(Cluster(generator_actors=count, generator_gpus=gpus, generator_selector=selector or {}), "generate", 1)


def waits(count: int, gpus: float = 1.0, selector: dict[str, str] | None = None) -> Pending:
    return Pending(each={"CPU": 1.0, "GPU": gpus}, selector=selector or {}, count=count, job="01", runs_as="actors")


def test_nothing_is_short_while_everything_has_its_place() -> None:
    inventory = an_inventory(a_node(1, GPU_NODE))
    assert shortage(generators(8), inventory) is None


def test_a_lost_node_is_named_with_what_is_waited_for() -> None:
    inventory = an_inventory(a_node(1, GPU_NODE, GENERATE), dead=(a_node(3, {}, GENERATE),), pending=(waits(8, selector=GENERATE),))
    lack = shortage(generators(16, selector=GENERATE), inventory, {"id-3": 8.2})
    assert str(lack) == (
        "8 of 16 generators have no place: node 10.0.0.3 (starloop/pool=generate) died 8 s ago, and the nodes with "
        "starloop/pool=generate hold 8 at most; each waits for 1 GPU and 1 CPU on a node with starloop/pool=generate; no "
        "autoscaler adds nodes to this cluster"
    )


def test_an_infeasible_selector_says_what_there_is_and_what_to_change() -> None:
    inventory = an_inventory(a_node(1, {"CPU": 2.0}, {"starloop/pool": "decode"}), a_node(2, GPU_NODE, GENERATE))
    lack = too_small(generators(2, selector={"starloop/pool": "generat"}), inventory)
    assert lack is not None
    assert (lack.cause, lack.missing) == ("labels", 2)
    assert refusal(lack, inventory) == (
        "it asks for 2 generators of 1 GPU and 1 CPU on a node with starloop/pool=generat, and no node has starloop/pool=generat; "
        "the cluster has 10.0.0.1 (starloop/pool=decode, 2 CPUs), 10.0.0.2 (starloop/pool=generate, 8 GPUs and 16 CPUs); no "
        "autoscaler adds nodes to this cluster; give a node these labels (ray start --labels), or correct "
        "cluster.generator_actors, generator_cpus, generator_gpus or generator_selector"
    )


def test_who_holds_the_gpus_is_named_with_his_run() -> None:
    held = tuple(Process(name="MapWorker(MapBatches(generate))", job="02", node_id="id-1", each={"GPU": 1.0}) for _ in range(8))
    inventory = an_inventory(a_node(1, GPU_NODE), processes=held, jobs={"02": "s3://runs/other"}, pending=(waits(2),))
    lack = shortage(generators(2), inventory)
    assert lack is not None
    assert lack.cause == "others"
    assert lack.reason == "what they need is held by job 02 (s3://runs/other): 8 x MapWorker(MapBatches(generate))"
    own = shortage(
        generators(2), an_inventory(a_node(1, GPU_NODE), job="02", processes=held, pending=(replace(waits(2), job="02"),))
    )
    assert own is not None
    assert own.reason == "what they need is held by this run itself: 8 x MapWorker(MapBatches(generate))"


@pytest.mark.parametrize(
    ("growth", "words"),
    [
        (Growth(coming=("2 x generate",)), "the autoscaler starts 2 x generate"),
        (Growth(refused=("generate: no capacity",)), "the autoscaler could not start generate: no capacity"),
        (Growth(), "the autoscaler has not started a node for it"),
    ],
)
def test_what_the_autoscaler_does_is_said(growth: Growth, words: str) -> None:
    lack = shortage(generators(2), an_inventory(a_node(1, {"CPU": 2.0}), growth=growth, pending=(waits(2),)))
    assert str(lack).endswith(f"; {words}")


def test_what_other_jobs_wait_for_is_no_shortage_of_this_one() -> None:
    others = replace(waits(2), job="02")
    assert shortage(generators(2), an_inventory(a_node(1, GPU_NODE), pending=(others,))) is None


def test_ranks_wait_together_and_by_their_job() -> None:
    two = demands(Cluster(), "train", 2)
    gang = Pending(each={"CPU": 1.0}, count=2, job="01", runs_as="ranks")
    node = a_node(1, {"CPU": 4.0})
    assert shortage(two, an_inventory(node)) is None
    assert shortage(two, an_inventory(node, pending=(gang,))) is not None
    assert shortage(two, an_inventory(node, pending=(gang,), job="02")) is None


def test_decode_tasks_that_wait_for_their_turn_are_no_shortage_while_something_gets_done() -> None:
    queue = Pending(each={"CPU": 1.0}, count=5)
    own = Process(name="MapWorker(MapBatches(generate))", job="01", node_id="id-1", each={"CPU": 1.0, "GPU": 1.0})
    other = Process(name="Server", job="02", node_id="id-1", each={"CPU": 3.0})
    node = a_node(1, {"CPU": 4.0, "GPU": 1.0})
    assert shortage(generators(1), an_inventory(node, processes=(own,), pending=(queue,))) is None
    held = an_inventory(node, processes=(own, other), pending=(queue,), jobs={"02": "python serve.py"})
    assert shortage(generators(1), held, is_idle=False) is None
    lack = shortage(generators(1), held)
    assert lack is not None
    assert str(lack).startswith(
        "decode tasks have no place: what they need is held by this run itself: 1 x MapWorker(MapBatches(generate)); job 02 "
        "(python serve.py): 1 x Server; each waits for 1 CPU; "
    )


@pytest.mark.parametrize(
    ("cluster", "nodes", "count"),
    [
        ({"generator_gpus": 1}, [a_node(1, GPU_NODE), a_node(2, GPU_NODE)], 16),
        ({"generator_gpus": 0.5}, [a_node(1, {"CPU": 32.0, "GPU": 2.0})], 4),
        ({"generator_gpus": 0.6}, [a_node(1, {"CPU": 32.0, "GPU": 2.0})], 2),
        ({"generator_gpus": 1, "generator_cpus": 4}, [a_node(1, GPU_NODE)], 3),  # one CPU is left for decode
        ({"generator_gpus": 1, "generator_cpus": 4}, [a_node(1, GPU_NODE), a_node(2, {"CPU": 4.0})], 4),  # it decodes elsewhere
        ({}, [a_node(1, {"CPU": 4.0})], 3),
        ({"generator_gpus": 1}, [a_node(1, {"CPU": 4.0})], 1),  # a node with a GPU may come
        ({"generator_gpus": 1, "generator_selector": GENERATE}, [a_node(1, GPU_NODE), a_node(2, GPU_NODE, GENERATE)], 8),
    ],
)
def test_as_many_generators_as_the_cluster_holds(cluster: dict[str, Any], nodes: list[Node], count: int) -> None:
    section, lines = placed(Cluster(generator_actors="auto", **cluster), an_inventory(*nodes))
    assert section.generator_actors == count
    assert lines[-1].startswith(f'generator_actors = "auto" is {count}, of ')


def test_a_cluster_that_grows_is_counted_with_its_bounds() -> None:
    inventory = an_inventory(a_node(1, {}, is_head=True), most={"CPU": 128, "GPU": 16})
    assert placed(Cluster(generator_actors="auto", generator_gpus=1), inventory)[0].generator_actors == 16


def test_decode_stays_off_gpus_where_other_workers_are() -> None:
    head, plain, gpus = a_node(1, {"CPU": 4.0}, is_head=True), a_node(2, {"CPU": 16.0}), a_node(3, GPU_NODE, H100)
    section, lines = placed(Cluster(), an_inventory(head, plain, gpus))
    assert section.decode_selector == {"ray.io/accelerator-type": "!in(H100)"}
    assert lines == [
        "decode stays off the nodes with GPUs: it has 16 CPUs of others; cluster.decode_on_gpu_nodes = true gives it the 16 CPUs "
        "there too"
    ]
    for own, nodes in (
        (Cluster(), (head, gpus)),  # a head decodes for no GPU node
        (Cluster(), (gpus,)),
        (Cluster(decode_on_gpu_nodes=True), (head, plain, gpus)),
        (Cluster(decode_cpus=17), (plain, gpus)),
    ):
        assert placed(own, an_inventory(*nodes))[0].decode_selector == {}
    chosen = Cluster(decode_selector={"starloop/pool": "decode"})
    assert placed(chosen, an_inventory(plain, gpus))[0].decode_selector == {"starloop/pool": "decode"}


def test_the_log_names_a_lost_node_and_the_wait_ends_with_the_patience(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = Waiting("cycle-000/generate", generators(2), patience_s=30.0)
    both, gone = an_inventory(a_node(1, {"CPU": 8.0, "GPU": 2.0})), a_node(1, {})
    lost = an_inventory(dead=(gone,), pending=(waits(2),))
    began = waiting._began
    waiting.look(both, began + 2)
    waiting.progress()
    for second in range(4, 30, 2):
        waiting.look(lost, began + second)
        waiting.check()
    first, *rest = caplog.messages
    assert first == "cycle-000/generate: node 10.0.0.1 died"
    assert [
        message.startswith("cycle-000/generate waits: 2 of 2 generators have no place: node 10.0.0.1 died") for message in rest
    ] == [True]
    waiting.look(lost, began + 36)
    with pytest.raises(
        ValueError, match=r"did nothing for 3\d s \(limits.resource_patience_s\): it asks for 2 generators of 1 GPU"
    ):
        waiting.check()


def test_a_node_that_does_not_answer_is_named_before_ray_knows_and_counts_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    step = "cycle-000/generate"
    waiting = Waiting(step, generators(2, selector=GENERATE), patience_s=30.0)
    waiting.progress()
    own = Process(name="MapWorker", job="01", node_id="id-1", each={"CPU": 1.0, "GPU": 1.0}, selector=GENERATE)
    others = (replace(own, job="02"), replace(own, name="Stats", each={}), replace(own, name="Rank", runs_as="ranks"))
    silent = an_inventory(a_node(1, {"CPU": 8.0, "GPU": 2.0}, GENERATE, is_silent=True), processes=(own, *others))
    for second in (2, 4, 6):
        waiting.look(silent, waiting._began + second)
    lost, lacks = caplog.messages
    assert lost == (
        f"{step}: node 10.0.0.1 (starloop/pool=generate, 2 GPUs and 8 CPUs) does not answer; it counts as lost, and Ray takes it "
        "for dead in less than a minute"
    )
    assert lacks == (
        f"{step} waits: 1 of 2 generators has no place: node 10.0.0.1 (starloop/pool=generate) does not answer, and no node has "
        "starloop/pool=generate; each waits for 1 GPU and 1 CPU on a node with starloop/pool=generate; no autoscaler adds nodes to "
        "this cluster (for 4 s now)"
    )


def test_a_node_that_answers_again_is_no_shortage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = Waiting("cycle-000/generate", generators(1), patience_s=30.0)
    waiting.progress()
    node = a_node(1, {"CPU": 8.0, "GPU": 2.0})
    own = Process(name="MapWorker", job="01", node_id="id-1", each={"CPU": 1.0, "GPU": 1.0})
    busy, there = (an_inventory(node_now, processes=(own,)) for node_now in (replace(node, is_silent=True), node))
    for second, inventory in ((2, busy), (4, there), (6, there), (8, there)):
        waiting.look(inventory, waiting._began + second)
    assert caplog.messages == []


def test_a_wait_does_not_end_between_a_death_and_the_new_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = Waiting("cycle-000/train", demands(Cluster(train_selector=TRAIN), "train", 1), patience_s=30.0)
    waiting.progress()
    plain, node, new = a_node(1, {"CPU": 1.0}), a_node(2, {"CPU": 1.0}, TRAIN), a_node(3, {"CPU": 1.0}, TRAIN)
    rank = Process(name="Rank", job="01", node_id="id-2", each={"CPU": 1.0}, runs_as="ranks")
    silent = an_inventory(plain, replace(node, is_silent=True), processes=(rank,))
    nobody = an_inventory(plain, dead=(replace(node, total={}),))
    requested = replace(nobody, pending=(Pending(each={"CPU": 1.0}, job="01", runs_as="ranks"),))
    again = an_inventory(plain, new, processes=(replace(rank, node_id="id-3"),))
    for second, inventory in enumerate((silent, silent, silent, nobody, requested, requested, again, again, again)):
        waiting.look(inventory, waiting._began + 2 * (second + 1))
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "cycle-000/train",
        "cycle-000/train waits",
        "cycle-000/train",
        "cycle-000/train goes on",
    ]
    assert caplog.messages[-1] == "cycle-000/train goes on: all training workers have their place after 14 s"


def written(selector: dict[str, str], count: int = 1) -> Pending:
    return Pending(each={}, selector=selector, count=count)


def test_write_tasks_that_no_node_takes_are_named_once_the_generators_have_ended() -> None:
    needed, decoding = generators(2, selector=GENERATE), a_node(1, {"CPU": 4.0}, {"starloop/pool": "decode"})
    lack = shortage(needed, an_inventory(decoding, dead=(a_node(3, {}, GENERATE),), pending=(written(GENERATE, 5),)), {"id-3": 8.2})
    assert lack is not None
    assert str(lack) == (
        "write tasks have no place: node 10.0.0.3 (starloop/pool=generate) died 8 s ago, and no node has starloop/pool=generate; "
        "each waits for a node with starloop/pool=generate; no autoscaler adds nodes to this cluster"
    )
    assert refusal(lack, an_inventory(decoding)).startswith(
        "it asks for write tasks on a node with starloop/pool=generate, and node 10.0.0.3 "
    )
    assert refusal(lack, an_inventory(decoding)).endswith("or correct cluster.generator_selector")


def test_a_step_that_only_counts_what_is_written_waits_for_no_node_that_was_given_back() -> None:
    assert shortage(generators(2, selector=GENERATE), an_inventory(a_node(1, {"CPU": 4.0}))) is None


def test_a_step_whose_writes_have_no_place_ends_with_the_patience() -> None:
    waiting = Waiting("cycle-000/generate", generators(1, selector=GENERATE), patience_s=30.0)
    lost = an_inventory(dead=(a_node(3, {}, GENERATE),), pending=(written(GENERATE),))
    for second in range(2, 40, 2):
        waiting.look(lost, waiting._began + second)
    with pytest.raises(ValueError, match="it asks for write tasks on a node with starloop/pool=generate"):
        waiting.check()


def test_tasks_on_a_silent_host_have_lost_their_place_though_ray_names_none() -> None:
    decode = {"starloop/pool": "decode"}
    needed = demands(Cluster(decode_selector=decode, generator_selector=GENERATE), "generate", 1)
    answering = a_node(1, {"CPU": 4.0}, GENERATE)
    lack = shortage(needed, an_inventory(answering, a_node(2, {"CPU": 4.0}, decode, is_silent=True)))
    assert str(lack).startswith(
        "decode tasks have no place: node 10.0.0.2 (starloop/pool=decode) does not answer, and no node has "
    )
    assert shortage(needed, an_inventory(answering, a_node(2, {"CPU": 4.0}, decode))) is None


def test_a_look_that_fails_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.run.waiting.LOOK_S", 0.001)
    monkeypatch.setattr("engine.run.waiting.take_inventory", an_inventory)
    waiting = Waiting("cycle-000/generate", generators(1), patience_s=30.0)
    looks, both = list[float](), threading.Event()

    def look(inventory: Inventory, now: float) -> None:
        looks.append(now)
        if len(looks) > 1:
            both.set()
        raise KeyError("id-7")

    monkeypatch.setattr(waiting, "look", look)
    with waiting:
        assert both.wait(20)


def reported(metric: Metric) -> list[float]:
    """The values of a metric that the reporter of this process has."""
    emit._REPORTER._note_waiting()
    return [value for (known, _), value in emit._REPORTER.board.values().items() if known is metric]


def test_a_shortage_in_which_the_step_goes_on_is_no_waiting_time() -> None:
    waiting = Waiting("cycle-000/generate", generators(2), patience_s=3000.0)
    half = an_inventory(a_node(1, {"CPU": 2.0, "GPU": 1.0}), pending=(waits(1),))
    with emit.reporting("first"):
        for second in range(2, 400, 2):
            waiting._progressed, waiting._has_progress = waiting._began + second - 1, True
            waiting.look(half, waiting._began + second)
        assert reported(WAITING) == [pytest.approx(1.0, abs=0.5)]
        for second in range(400, 500, 2):
            waiting.look(half, waiting._began + second)
        assert reported(WAITING) == [pytest.approx(101.0, abs=0.5)]


def test_each_restart_of_a_generator_is_a_death_also_while_it_loads_its_model() -> None:
    waiting = Waiting("cycle-000/generate", generators(1), patience_s=30.0)
    own = Process(name="MapWorker", job="01", node_id="id-1", each={"CPU": 1.0, "GPU": 1.0}, actor_id="a", restarts=4)
    looks = ((own,), (), (replace(own, actor_id="b", restarts=0),), (replace(own, actor_id="b", restarts=3),), ())
    with emit.reporting("first"):
        for number, processes in enumerate(looks):
            others = (replace(own, job="02", restarts=9), replace(own, each={}, name="Watch", restarts=9))
            inventory = an_inventory(a_node(1, GPU_NODE), processes=(*processes, *others))
            waiting.look(inventory, waiting._began + 2 * number)
        assert reported(GENERATOR_DEATHS) == [3.0]


def test_what_the_autoscaler_gives_back_is_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = Waiting("cycle-000/generate", generators(1), patience_s=30.0)
    waiting.progress()
    node = a_node(2, {"CPU": 4.0}, {"starloop/pool": "decode"})
    busy = replace(a_node(3, GPU_NODE, GENERATE, is_leaving=True), free={"CPU": 16.0, "GPU": 7.0})
    first = an_inventory(a_node(1, GPU_NODE), node)
    leaving = an_inventory(a_node(1, GPU_NODE), replace(node, is_leaving=True), busy)
    gone = an_inventory(a_node(1, GPU_NODE), dead=(replace(node, total={}, free={}, is_given_back=True),))
    for number, inventory in enumerate((first, leaving, gone, gone)):
        waiting.look(inventory, waiting._began + 2 * number)
    assert [(record.levelname, record.message.partition(": ")[2]) for record in caplog.records] == [
        ("INFO", "node 10.0.0.2 (starloop/pool=decode, 4 CPUs) is being drained; nothing runs there"),
        (
            "WARNING",
            "node 10.0.0.3 (starloop/pool=generate, 8 GPUs and 16 CPUs) is being drained; what runs there is done again elsewhere",
        ),
        ("INFO", "node 10.0.0.2 (starloop/pool=decode) was idle, and the autoscaler gave it back"),
    ]
    assert waiting._died == {}


def test_a_line_names_the_nodes_that_died_lately_and_at_most_six(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting("cycle-000/generate", generators(1), patience_s=3000.0)
    old, new = a_node(1, {}), tuple(a_node(number, {}) for number in range(2, 11))
    waiting.look(an_inventory(), waiting._began)
    waiting.look(an_inventory(dead=(old,)), waiting._began + 2)
    for second in (400, 402, 404, 406):
        waiting.look(an_inventory(dead=(old, *new), pending=(waits(1),)), waiting._began + second)
    (line,) = [message for message in caplog.messages if " waits: " in message]
    assert line.count(" died ") == 6
    assert ", 3 more, and the nodes hold 0 at most" in line
    assert "10.0.0.1 " not in line


@pytest.mark.parametrize(
    ("pool", "total", "packages", "uses_gpus"),
    [
        ("decode", GPU_NODE, DECODES, False),
        ("generate", GPU_NODE, COMPUTES, True),
        ("train", GPU_NODE, COMPUTES, False),  # train_gpus = 0
        ("generate", {"CPU": 4.0}, COMPUTES, False),
        ("web", GPU_NODE, (), False),
    ],
)
def test_a_node_is_examined_for_what_its_labels_let_it_do(
    pool: str, total: dict[str, float], packages: tuple[str, ...], uses_gpus: bool
) -> None:
    selectors = {name: {"starloop/pool": name.partition("_")[0]} for name in ("decode_selector", "train_selector")}
    cluster = Cluster(generator_gpus=1, train_gpus=0, generator_selector=GENERATE, **selectors)
    assert part_of(a_node(1, total, {"starloop/pool": pool}), cluster) == Part(packages=packages, uses_gpus=uses_gpus)


def test_a_node_that_only_decodes_may_have_another_torch() -> None:
    here, there = {"python": "3.11.2", "av": "15", "torch": "2.13.0"}, {"python": "3.11.2", "av": "15", "torch": "2.4.0"}
    assert list(differences(here, there, DECODES, False)) == []
    assert [line.partition(",")[0] for line in differences(here, there, COMPUTES, False)] == ["has torch 2.4.0"]
    assert len(list(differences(here, there | {"python": "3.12.1"}, DECODES, False))) == 1
