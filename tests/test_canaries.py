"""No secret of an account is in anything the library shows, writes or hands out (invariant I10).

`tests/conftest.py` plants a canary in every account and searches the output of every test; here are the places to look at
directly, each with an account whose secret, key and signatures are known.
"""

import copy
import gzip
import hashlib
import hmac
import io
import pickle
import random
import shutil
import socket
import subprocess
import sys
import threading
import traceback
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl

import loguru
import pytest

from connector import Connector, Side, Symbol, VenueSettings
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import OrderType
from connector.domain.wire import HttpRequest
from connector.drivers.registry import find_driver
from connector.errors import ConnectorError, OutcomeUnknown
from connector.simulator import Simulator, SimulatorSettings
from connector.store import SqliteStore
from connector.telemetry import enable_logging, logger
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.transport.http import HttpClient, HttpTimeouts

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "venue"))

from far_side import FarSide, connect  # noqa: E402

BTC = Symbol("BTC", "USDT")
KEY, SECRET = "pUbLiCkEy0123456789abcdef", "sEcReT-of-mine/0123456789+abcdef="


@pytest.fixture
def credentials():
    return Credentials(KEY, secret=SECRET)


@pytest.fixture
def hidden(canary):
    """Fails when a text, or the text of a value, shows the secret, the canary or one of the signatures given."""

    def check(shown, *more):
        text = shown if isinstance(shown, str) else repr(shown)
        for secret in (SECRET, canary, *more):
            assert secret not in text, "a secret is shown"
        return text

    return check


@pytest.fixture
def spoken():
    """Everything written by our own sink and by a sink that prints the locals of every frame, as loguru does by default."""
    ours, theirs = io.StringIO(), io.StringIO()
    careless = loguru.logger.add(theirs, level=0, diagnose=True, backtrace=True, format="{message} {extra} {exception}")
    handle = enable_logging("TRACE", ours, keep_default=True)

    def read():
        handle.disable()
        return ours.getvalue() + theirs.getvalue()

    yield read
    handle.disable()
    loguru.logger.remove(careless)


def order(**changes):
    fields = {"symbol": BTC, "side": Side.BUY, "type": OrderType.LIMIT, "quantity": Decimal(1), "price": Decimal(100)}
    return PlaceOrder(**{**fields, **changes})


def everything(error):
    """A failure as careless programs print it: chain, stack and the locals of every frame of the library."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [line for line in told.format() if "test_canaries" not in line]
    return "".join(frames)


# ---------------------------------------------------------------- values


def test_nothing_made_of_credentials_shows_them(credentials, hidden):
    auth = find_driver("binance").trading.auth(credentials)
    settings = VenueSettings("binance", credentials=credentials)

    for value in (credentials, auth, settings, [credentials], {"account": settings}):
        hidden(repr(value))
        hidden(f"{value!s} {value!r} {value}")
    for value in (credentials, auth):
        hidden([getattr(value, name, None) for name in type(value).__slots__])


@pytest.mark.parametrize(
    "way",
    [pickle.dumps, copy.copy, copy.deepcopy, lambda value: value.__reduce__()],
    ids=["pickle", "copy", "deep", "reduce"],
)
def test_credentials_cannot_be_pickled_or_copied(credentials, hidden, way):
    for value in (credentials, [credentials]) if way is not copy.copy else (credentials,):
        try:
            made = way(value)
        except TypeError as refused:
            hidden(everything(refused))
        else:
            hidden(made)
            pytest.fail(f"{value!r} was pickled or copied")


@pytest.mark.parametrize("kind", ["private_key_pem", "password"])
def test_a_private_key_that_cannot_be_read_is_not_repeated(hidden, kind):
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"
    parts = {"private_key_pem": pem} if kind == "private_key_pem" else {"private_key_pem": "x", "password": SECRET}
    with pytest.raises(ConnectorError) as refused:
        find_driver("binance").trading.auth(Credentials(KEY, **parts))

    hidden("".join(traceback.format_exception(refused.value)))


# ---------------------------------------------------------------- a life in trouble, on a fake clock


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A storm with kills over a SQLite store, and all that can be seen of it."""
    path = tmp_path_factory.mktemp("account") / "orders.sqlite"
    log = io.StringIO()
    careless = loguru.logger.add(log, level=0, diagnose=True, backtrace=True)
    handle = enable_logging("TRACE", log, keep_default=True)
    chance, runtime = random.Random(5), DeterministicRuntime(5)
    far = FarSide(runtime, chance, mixed=True)
    signatures, seen, take = [], [], far.pass_on

    def watch(verb, route, query, reply, *, session):
        signatures.append(query.get("signature", ""))
        take(verb, route, query, reply, session=session)

    far.pass_on = watch
    store = SqliteStore(path)
    shown = [store]
    try:
        with connect(far, chance, session=True, store=store) as connector:
            venue = connector.venue("binance")
            venue.orders_stream(seen.append)
            runtime.advance(5.0)
            far.trouble = 0.5
            asks = []
            for number in range(30):
                asks.append(venue.orders.ask(order(), block=False, timeout=60.0))
                runtime.advance(3.0)
                if number % 5 == 4:
                    crash(getattr(venue, chance.choice(["orders", "state", "rest", "stream"])))
            shown += [connector, connector.snapshot(), venue, venue.snapshot()]
            far.heal()
            runtime.advance(60.0)
            for ask in asks:
                try:
                    shown.append(ask.get(timeout=0.0))
                except Exception as lost:
                    shown.append(everything(lost))
            orders = venue.order_history()[0]
            shown += [orders, [venue.explain(each.client_id) for each in orders], venue.balances(), venue.fills()]
            shown += [venue.snapshot(), venue.orders._actor_weakref(), venue.state._actor_weakref(), seen]
            shown += [connector._assembly.memories["binance"].trading, runtime.trace]
            files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    finally:
        store.close()
        handle.disable()
        loguru.logger.remove(careless)
    files += b"".join(file.read_bytes() for file in path.parent.iterdir())
    return {"shown": shown, "signatures": {each for each in signatures if each}, "files": files, "log": log.getvalue()}


FAR_SECRET = "canary-secret"


def test_events_outcomes_snapshots_and_explanations_show_no_secret_and_no_signature(lived, hidden):
    assert len(lived["signatures"]) > 50
    for value in lived["shown"]:
        hidden(value, FAR_SECRET, *lived["signatures"])


def test_the_journal_holds_no_secret_and_no_signature(lived, hidden):
    text = lived["files"].decode("latin-1")

    assert "SQLite format 3" in text
    assert "sent over the session" in text
    hidden(text, FAR_SECRET, "apiKey", *lived["signatures"])


def test_logs_of_a_life_in_trouble_show_no_secret_and_no_signature(lived, hidden):
    hidden(lived["log"], FAR_SECRET, *lived["signatures"])


def test_a_failure_with_the_account_in_its_locals_is_logged_without_it(credentials, spoken, hidden):
    def sign(secret, venue):
        raise OutcomeUnknown(f"no answer to signature=0123456789abcdef of {venue!r}")

    def fail():
        secret, venue = SECRET, VenueSettings("binance", credentials=credentials)
        sign(secret, venue)  # a sink that diagnoses writes the values of both below this line

    namespace = {"__name__": "connector.something", "logger": logger, "fail": fail}
    exec("def log():\n    try:\n        fail()\n    except Exception:\n        logger.exception('it broke')", namespace)
    namespace["log"]()
    text = spoken()

    assert "it broke" in text
    assert "OutcomeUnknown" in text
    hidden(text)


# ---------------------------------------------------------------- real sockets


class Rude:
    """A server that reads one request and then answers with the bytes it was given, or hangs up."""

    def __init__(self, answer):
        self.answer, self.heard = answer, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, name="rude", daemon=True)
        self.thread.start()

    def serve(self):
        try:
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(5.0)
                    while b"&signature=" not in self.heard and (part := connection.recv(65536)):
                        self.heard += part
                    connection.sendall(self.answer)
        except OSError:
            return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR) if sys.platform == "linux" else None
        self.listener.close()
        self.thread.join(5.0)


def signed_place(credentials):
    driver = find_driver("binance")
    instrument = driver_instrument()
    return driver.trading.place(order(), "my-order", instrument, driver.trading.auth(credentials), 1_760_000_000_000)


def driver_instrument():
    from connector.domain import Instrument, InstrumentStatus

    return Instrument("binance", BTC, "BTCUSDT", InstrumentStatus.TRADING, "TRADING", 8, 8, (), ())


def signature_of(request: HttpRequest) -> str:
    return dict(parse_qsl(request.query) + parse_qsl(request.body.decode()))["signature"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
    ],
    ids=["hangs up", "cut body", "no HTTP", "redirect"],
)
def test_failures_of_a_signed_request_show_neither_secret_nor_signature_nor_key(credentials, hidden, answer):
    request = signed_place(credentials)
    signature = signature_of(request)
    assert signature == hmac.new(SECRET.encode(), request.body.split(b"&signature=")[0], hashlib.sha256).hexdigest()
    with Rude(answer) as server:
        client = HttpClient(server.url, timeouts=HttpTimeouts(total_s=3.0))
        try:
            outcome = client.send(request)
        except ConnectorError as failed:
            told = "".join(traceback.format_exception(failed))
            hidden(told, signature, KEY)
            hidden(everything(failed))
            hidden(repr(failed.__cause__), signature, KEY)
        else:
            assert outcome.status == 302
            hidden(repr(outcome), signature, KEY)
        finally:
            client.close()

    assert signature.encode() in server.heard, "the request was sent, so there was something to show"


def test_a_request_that_cannot_connect_shows_neither_secret_nor_signature_nor_key(credentials, hidden):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    request = signed_place(credentials)
    client = HttpClient(f"http://127.0.0.1:{port}", timeouts=HttpTimeouts(total_s=3.0))
    with pytest.raises(ConnectorError) as failed:
        client.send(request)
    client.close()

    hidden("".join(traceback.format_exception(failed.value)), signature_of(request), KEY)


def test_recordings_logs_and_refusals_of_real_connections_show_no_secret(tmp_path, spoken, hidden, credentials):
    """REST and session against the simulator, recorded, logged at the lowest level; then with a secret that the venue refuses."""
    recording = tmp_path / "all.jsonl.gz"
    settings = SimulatorSettings(symbols=("BTCUSDT",), seed=3, events_per_s=20.0)
    outcomes = []
    with Simulator(settings) as simulator:
        simulator.add_account(name="main", key=KEY, secret=SECRET, balances={"USDT": Decimal(1_000_000)})
        wrong = Credentials(KEY, secret=SECRET + "-mistyped")
        for session_url, account in ((simulator.ws_url, credentials), (None, credentials), (None, wrong)):
            venue_settings = VenueSettings(
                "binance",
                rest_url=simulator.rest_url,
                stream_url=simulator.ws_url,
                session_url=session_url,
                credentials=account,
                record=recording,
            )
            with Connector([venue_settings]) as connector:
                venue = connector.venue("binance")
                assert venue.wait_ready(10)
                placed = order(quantity=Decimal("0.01"), price=Decimal("60000.00"))
                told = venue.orders.ask(placed, timeout=10.0)
                outcomes.append(told)
                outcomes.append(venue.orders.ask(CancelOrder(symbol=BTC, client_id=told.client_id), timeout=10.0))
                outcomes.append(
                    venue.orders.ask(order(quantity=Decimal("100"), price=Decimal("60000.00")), timeout=10.0)
                )
                hidden([venue.snapshot(), connector.snapshot(), connector, venue])
            recorded = gzip.decompress(recording.read_bytes()).decode()
            assert "BTCUSDT" in recorded
            hidden(recorded, KEY, "signature=")
            recording.unlink()
    logged = spoken()

    kinds = [each.kind for each in outcomes]
    assert kinds[:2] == kinds[3:5] == [OutcomeKind.ACCEPTED] * 2
    assert OutcomeKind.ACCEPTED not in kinds[6:]
    hidden(outcomes, KEY)
    hidden(logged)


# ---------------------------------------------------------------- the canary itself


TELLS = """
import sys
import pytest
from connector.domain.credentials import Credentials

def test_it(capfd=None):
    account = Credentials("key-of-mine", secret="a-secret-of-some-length")
    {line}
"""


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("print('nothing to see', account)", True),
        ("print(account.reveal('secret'))", False),
        ("print(account.reveal('passphrase'))", False),
        ("print(account.reveal('passphrase'), file=sys.stderr)", False),
        ("import logging; logging.getLogger('x').warning(account.reveal('secret'))", False),
        ("import base64; print(base64.b64encode(account.reveal('secret').encode()).decode())", False),
        ("import loguru; loguru.logger.info(account.secrets)", False),
    ],
    ids=["clean", "stdout", "planted", "stderr", "log", "base64", "loguru"],
)
def test_a_test_that_shows_a_secret_fails(tmp_path, line, passes):
    shutil.copy(HERE / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_tells.py").write_text(TELLS.format(line=line))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode == 0) is passes, done.stdout[-300:].replace("a-secret-of-some-length", "…")
