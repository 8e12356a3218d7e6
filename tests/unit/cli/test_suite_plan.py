"""Which processes are started, with which ports and environment."""

import socket
from pathlib import Path

import pytest

from cli.ports import PortPicker, PortUnavailableError
from cli.suite_plan import HOST, SERVICES, PlanError, SuiteOptions, parse_replicas, plan_suite


@pytest.fixture
def taken():
    """A port somebody listens on."""
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def plan(tmp_path: Path, **options):
    return plan_suite(SuiteOptions(data_dir=tmp_path, environment={"PATH": "/bin"}, **options))


def environments(planned) -> dict[str, dict[str, str]]:
    return {process.spec.name: dict(process.spec.environment) for process in planned.processes}


def test_every_service_and_valkey_on_ports_of_their_own(tmp_path: Path):
    planned = plan(tmp_path, http_port=0, grpc_port=0)
    assert [process.service for process in planned.processes] == ["valkey", *SERVICES]
    addresses = [
        address
        for process in planned.processes
        for address in (process.address, process.http_address, process.metrics_address)
        if address
    ]
    assert len(addresses) == 6 + 1 + 5
    assert len(set(addresses)) == len(addresses)
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_services_learn_where_their_peers_are(tmp_path: Path):
    planned = plan(tmp_path, http_port=0, grpc_port=0)
    where = {process.service: process.address for process in planned.processes}
    gateway = environments(planned)["gateway"]
    for peer in ("embedding", "retrieval", "generation", "ingestion"):
        assert gateway[f"CAIRN_GATEWAY_{peer.upper()}_TARGET"] == where[peer]
    assert gateway["CAIRN_GATEWAY_VALKEY_URL"] == planned.valkey_url
    assert gateway["CAIRN_GATEWAY_DATA_DIR"] == str(tmp_path)
    assert planned.http_url == f"http://127.0.0.1:{gateway['CAIRN_GATEWAY_HTTP_PORT']}"
    assert (
        environments(planned)["embedding"]["CAIRN_EMBEDDING_PORT"]
        == where["embedding"].split(":")[1]
    )


def test_replicas_are_all_targets_and_share_nothing(tmp_path: Path):
    planned = plan(tmp_path, http_port=0, grpc_port=0, replicas={"embedding": 2, "gateway": 2})
    names = [process.spec.name for process in planned.processes]
    assert names == [
        "valkey",
        "embedding",
        "embedding-2",
        "retrieval",
        "generation",
        "ingestion",
        "gateway",
        "gateway-2",
    ]
    embeddings = [
        process.address for process in planned.processes if process.service == "embedding"
    ]
    target = environments(planned)["gateway"]["CAIRN_GATEWAY_EMBEDDING_TARGET"]
    assert target == ",".join(embeddings)
    ports = [
        value["CAIRN_GATEWAY_HTTP_PORT"]
        for name, value in environments(planned).items()
        if "gateway" in name
    ]
    assert len(set(ports)) == 2


def test_settings_of_the_person_pass_through_but_for_what_the_plan_decides(tmp_path: Path):
    given = {
        "CAIRN_EMBEDDING_LOG_LEVEL": "debug",
        "CAIRN_EMBEDDING_GRACE_SECONDS": "1",
        "CAIRN_EMBEDDING_HOST": "0.0.0.0",
    }
    planned = plan_suite(
        SuiteOptions(data_dir=tmp_path, http_port=0, grpc_port=0, environment=given)
    )
    embedding = environments(planned)["embedding"]
    assert embedding["CAIRN_EMBEDDING_LOG_LEVEL"] == "debug"
    assert embedding["CAIRN_EMBEDDING_GRACE_SECONDS"] == "1"
    assert embedding["CAIRN_EMBEDDING_HOST"] == "127.0.0.1"


def test_no_service_gets_the_settings_of_the_plan_for_another(tmp_path: Path):
    """Unknown keys are errors in the services: only their own may be added."""
    for name, environment in environments(plan(tmp_path, http_port=0, grpc_port=0)).items():
        stray = [
            key
            for key in environment
            if key.startswith("CAIRN_") and f"CAIRN_{name.upper()}_" not in key
        ]
        assert stray == [], name


def test_taken_port_that_was_asked_for_is_an_error(tmp_path: Path, taken: int):
    with pytest.raises(PortUnavailableError, match=f"port {taken} .* is in use"):
        plan(tmp_path, http_port=taken)


def test_taken_port_that_was_not_asked_for_is_replaced(taken: int):
    picker = PortPicker(HOST)
    chosen = picker.preferably(taken)
    assert chosen != taken
    assert 20_000 <= chosen <= 32_000


def test_no_port_is_given_twice():
    picker = PortPicker(HOST)
    ports = [picker.any() for _ in range(50)]
    assert len(set(ports)) == 50
    with pytest.raises(PortUnavailableError):
        picker.exactly(ports[0])


def test_password_is_in_no_command_line(tmp_path: Path):
    planned = plan(tmp_path, http_port=0, grpc_port=0)
    password = planned.valkey_url.split(":")[2].split("@")[0]
    assert len(password) >= 32
    assert not any(password in " ".join(process.spec.command) for process in planned.processes)


def test_replicas_are_read():
    assert parse_replicas("") == {}
    assert parse_replicas("embedding=2, gateway=3") == {"embedding": 2, "gateway": 3}


@pytest.mark.parametrize(
    "text",
    ["valkey=2", "embedding", "embedding=0", "embedding=9", "embedding=two", "embedding=²", "=2"],
)
def test_bad_replicas_are_refused(text: str):
    with pytest.raises(PlanError, match="replicas: "):
        parse_replicas(text)


def test_a_chosen_port_is_not_chosen_again_before_its_service_listens():
    picker, other = PortPicker(HOST), PortPicker(HOST)
    port = picker.any()
    assert other.preferably(port) != port
    with pytest.raises(PortUnavailableError):
        other.exactly(port)
    picker.close()
    assert other.exactly(port) == port


def test_generation_may_run_in_an_environment_of_its_own(tmp_path: Path):
    planned = plan(tmp_path, http_port=0, grpc_port=0, generation_python="/opt/vllm/bin/python")
    first = {process.service: process.spec.command[0] for process in planned.processes}
    assert first["generation"] == "/opt/vllm/bin/python"
    assert first["embedding"] == first["gateway"] != first["generation"]
