"""The simulator as a thing that runs: life, threads, TLS, the command line, what it may import."""

import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
import trustme
import websocket

from connector.simulator import Listing, Live, Simulator, SimulatorError, SimulatorSettings, listing
from connector.simulator.cli import main, read_account, read_fault

QUIET = {"symbols": ("BTCUSDT",), "events_per_s": 0.0}


def simulator_threads():
    return [thread for thread in threading.enumerate() if thread.name == "simulator"]


def test_start_and_stop_leave_nothing_behind_whatever_is_going_on(connect):
    before = len(simulator_threads())
    for number in range(10):
        with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=500.0)) as sim:
            connect(sim, "btcusdt@trade")
            if number % 3 == 1:
                sim.faults.half_open(new_connections=True)
            if number % 3 == 2:
                sim.faults.refuse_connect()
        assert "stopped" in repr(sim)
    assert len(simulator_threads()) == before


def test_the_ledger_stays_readable_after_the_end():
    with Simulator(SimulatorSettings(**QUIET)) as sim:
        sim.step(300)
    sim.stop()
    assert sim.ledger.trades("BTCUSDT")
    assert sim.ledger.summary()["requests"] == 0


def test_a_simulator_starts_once():
    with Simulator(SimulatorSettings(**QUIET)) as sim, pytest.raises(SimulatorError, match="started before"):
        sim.start()


def test_a_port_in_use_is_an_error_of_start():
    with Simulator(SimulatorSettings(**QUIET)) as sim, pytest.raises(OSError, match=r"[Aa]ddress|in use|permitted"):
        Simulator(SimulatorSettings(**QUIET, port=sim.port)).start()


def test_an_error_of_its_own_is_shown_and_not_hidden(eventually):
    with Simulator(SimulatorSettings(**QUIET)) as sim:
        broken = sim.exchange.source

        def tick(now_us, force=False):
            raise ArithmeticError("planted")

        sim.on_loop(lambda: setattr(broken, "tick", tick))

        def shown():
            try:
                sim.ledger.symbols()
            except SimulatorError as error:
                return "planted" in str(error)
            return False

        eventually(shown)


def test_tls_is_spoken_with_the_given_certificate(simulator, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    sim = simulator(**QUIET, tls=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")))
    assert sim.rest_url.startswith("https://")
    assert sim.ws_url.startswith("wss://")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with urllib.request.urlopen(f"{sim.rest_url}/api/v3/ping", context=context, timeout=10) as answer:
        assert answer.read() == b"{}"
    client = websocket.create_connection(f"{sim.ws_url}/ws/btcusdt@trade", sslopt={"context": context}, timeout=10)
    sim.step(300)
    assert json.loads(client.recv())["e"] == "trade"
    sim.faults.cut(at_byte=10)
    sim.step(300)
    with pytest.raises((ConnectionResetError, ssl.SSLError, websocket.WebSocketConnectionClosedException)):
        while True:
            client.recv()
    client.shutdown()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{sim.rest_url}/api/v3/ping", timeout=10)


def test_five_thousand_frames_a_second_cost_less_than_one_core(simulator, connect, eventually):
    sim = simulator(symbols=("BTCUSDT", "ETHUSDT"), events_per_s=2_000.0, enforce_limits=False)
    streams = [f"{name}@{kind}" for name in ("btcusdt", "ethusdt") for kind in ("trade", "bookTicker", "depth@100ms")]
    readers = [connect(sim, *streams, skip_utf8_validation=True) for _ in range(4)]
    threads = [threading.Thread(target=drain, args=(reader,), name="reader", daemon=True) for reader in readers]
    for thread in threads:
        thread.start()
    cpu_s, frames = sim.on_loop(time.thread_time), sim.ledger.summary()["frames_out"]
    eventually(lambda: sim.ledger.summary()["frames_out"] > frames + 10_000, deadline_s=30.0)
    cpu_s, frames = sim.on_loop(time.thread_time) - cpu_s, sim.ledger.summary()["frames_out"] - frames
    assert frames / cpu_s > 5_000
    sim.stop()
    for thread in threads:
        thread.join(10)


def drain(reader):
    try:
        while reader.ws.recv():
            pass
    except (OSError, websocket.WebSocketException):
        return


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbols": ()}, "at least one"),
        ({"symbols": ("BTCUSDT", "BTCUSDT")}, "twice"),
        ({"symbols": ("btcusdt",)}, "base asset followed by"),
        ({"symbols": ("WHATEVER",)}, "base asset followed by"),
        ({"events_per_s": -1.0}, "events_per_s"),
        ({"events_per_s": float("nan")}, "events_per_s"),
        ({"ping_every_s": 0.0}, "ping_every_s"),
        ({"max_streams": 0}, "max_streams"),
        ({"dialect": "../evil"}, "dialect"),
    ],
)
def test_settings_are_checked_when_made(changes, words):
    with pytest.raises(ValueError, match=words):
        SimulatorSettings(**changes)


def test_an_unknown_dialect_is_named():
    with pytest.raises(ValueError, match="no dialect 'nosuch'"):
        Simulator(SimulatorSettings(dialect="nosuch"))


def test_a_thin_book_is_refused():
    with pytest.raises(ValueError, match="resting_orders"):
        Live(resting_orders=2)


def test_any_plausible_symbol_can_be_listed():
    assert listing("NKNUSDT") == listing("NKNUSDT")
    assert listing("ABCBTC").quote == "BTC"
    own = listing("BTCUSDT", price="50000", tick="0.5", step="0.001")
    assert isinstance(own, Listing)
    assert (own.price_e8, own.tick_e8, own.step_e8) == (5_000_000_000_000, 50_000_000, 100_000)
    with pytest.raises(ValueError, match="eight decimal places"):
        listing("BTCUSDT", price="1.123456789")
    with pytest.raises(ValueError, match="200 ticks"):
        listing("BTCUSDT", price="1", tick="0.5")


def test_it_imports_no_driver_and_nothing_of_the_client():
    script = (
        "import sys, types, importlib.util, pathlib\n"
        "spec = importlib.util.find_spec('connector')\n"
        "bare = types.ModuleType('connector'); bare.__path__ = list(spec.submodule_search_locations)\n"
        "sys.modules['connector'] = bare\n"
        "import connector.simulator, connector.simulator.cli, connector.simulator.dialects.binance_spot\n"
        "print(sorted({name.split('.')[1] for name in sys.modules if name.startswith('connector.')}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['matching', 'simulator']"


def test_faults_are_read_from_the_command_line():
    assert read_fault("cut@5") == ("cut", 5.0, {})
    assert read_fault("delay@1.5:s=0.2,jitter_s=0.1") == ("delay", 1.5, {"s": 0.2, "jitter_s": 0.1})
    assert read_fault("silence@3:stream=btcusdt@trade").arguments == {"stream": "btcusdt@trade"}
    for wrong in ("cut", "cut@soon", "@5", "cut@5:depth"):
        with pytest.raises(ValueError, match="written"):
            read_fault(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fault", "nosuch@1"],
        ["--symbols", "x"],
        ["--dialect", "nosuch"],
        ["--dialect", "binance_coinm", "--symbols", "BTCUSDT"],
        ["--dialect", "binance_usdm", "--symbols", "BTCUSDT_991399"],
        ["--rate", "-1"],
        ["--capture", "/nowhere/at/all"],
        ["--capture", "y", "--speed", "x"],
    ],
)
def test_arguments_that_make_no_sense_end_with_status_two(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", *arguments])
    assert ended.value.code == 2
    assert "python -m connector.simulator" in capsys.readouterr().err


def test_a_port_in_use_ends_the_program_in_words(simulator, capsys):
    taken = simulator(**QUIET)
    with pytest.raises(SystemExit) as ended:
        main(["--port", str(taken.port)])
    assert ended.value.code == 2
    assert f"cannot listen on 127.0.0.1:{taken.port}" in capsys.readouterr().err


IGNORING_INTERRUPTS = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""As a shell starts its background jobs."""


@pytest.mark.parametrize(
    "in_background", [False, pytest.param(True, marks=pytest.mark.skipif(os.name == "nt", reason="POSIX"))]
)
def test_it_runs_as_a_program_with_faults_and_a_control_endpoint(in_background):
    command = [sys.executable, "-m", "connector.simulator", "--port", "0", "--rate", "500", "--for", "20"]
    command += ["--fault", "silence@0:stream=btcusdt@trade", "--fault", "cut@0:scope=nowhere"]
    if in_background:
        command = [*IGNORING_INTERRUPTS, *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            url = re.search(r"REST (http://\S+)", first)[1]
            lines = [process.stdout.readline() for _ in range(3)]
            assert any("fault silence" in line and "None" in line for line in lines)
            assert any("fault cut failed" in line for line in lines)
            with urllib.request.urlopen(f"{url}/simulator/ledger", timeout=10) as answer:
                assert json.loads(answer.read())["faults"]["silence"] == 1
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_the_program_is_any_exchange_by_name(capsys):
    assert main(["--port", "0", "--dialect", "binance_coinm", "--symbols", "BTCUSD_PERP", "--for", "0.1"]) == 0
    assert "<Simulator binance_coinm" in capsys.readouterr().out


def test_an_account_is_read_from_one_word_and_a_wrong_one_is_refused_without_showing_it():
    entry = read_account("me,Key1,hush,USDT=1000.5,BTC=2")
    assert (entry.name, entry.key, entry.secret) == ("me", "Key1", "hush")
    assert entry.balances == {"USDT": "1000.5", "BTC": "2"}
    assert read_account("me,Key1,hush").balances == {}
    for wrong in ("me,Key1", "me", "", "me,,hush", "me,Key1,hush,USDT", "me,Key1,hush,USDT=-1"):
        with pytest.raises(ValueError, match="NAME,KEY,SECRET") as refused:
            read_account(wrong)
        assert "hush" not in str(refused.value)
