"""Ways to misuse a worker. Each takes a second or so, and may fail in any way: only the worker must not."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from bridge.osc.packets import encode, sized, slip
from bridge.protocol import Kind, pack, pack_json
from tests.attack.worker import TOKEN, Target

NAN, INFINITE = float("nan"), float("inf")
NUMBERS = (0.0, -1.0, 1e38, -1e38, NAN, INFINITE, -INFINITE, 127, 128, -1, 2**31 - 1, -(2**31))
TEXTS = (
    "", "x" * 300, "../secret.wav", "/etc/passwd", "~root/x.yaml", "loop", "loop/x.wav", "out/secret.wav", "pipe.wav",
    "pipe.yaml", "take.wav", "amp.yaml", "other.yaml", "broken.yaml", "outside.yaml", "a\0b", "\x1b[2J", "con\nfused",
    "/dev/zero", "/proc/self/mem", "C:\\x.yaml", "\u202egnp.yaml", "new.yaml", "new.wav", "amp.nam",
)  # fmt: skip
ADDRESSES = (
    "/ping", "/subscribe", "/unsubscribe", "/token", "/render", "/midi/learn", "/lead/load", "/lead/save", "/lead/mix",
    "/lead/bypass", "/lead/1/bypass", "/lead/gain/gain_db", "/lead/gain/gain_db/raw", "/lead/macro/1", "/lead/nothing",
    "/solo/note", "/solo/bend", "/solo/cc", "/solo/panic", "/solo/mix", "/solo/load", "/nobody/mix", "/", "//", "/lead",
    "/boards", "/files", "/lead/slots", "/lead/slots/add", "/lead/slots/remove", "/lead/slots/move", "/solo/slots",
    "/lead/*", "/lead/[!a-z]*/{gain_db,mix}", "/lead/" + "*" * 40 + "x", "/lead/" + "{a,b}" * 30, "/" + "?" * 200,
)  # fmt: skip
HOSTILE_BOARDS = (
    "board: 1\nslots: [",
    "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nboard: 1\nslots: *c\n",
    "board: 1\nslots:\n" + "  - plugin: Compressor\n" * 160,
    "board: 1\nslots:\n  - chain:\n" + "".join("  " * (i + 2) + "- chain:\n" for i in range(60)),
    "board: 1\nslots:\n  - ir: ../secret.wav\n",
    "board: 1\nslots:\n  - ir: pipe.wav\n",
    "board: 1\nslots:\n  - model: /dev/zero\n",
    "board: 1\nslots:\n  - plugin: VST3\n    path: ../x.vst3\n",
    "board: 1\nslots:\n  - timbre: ../../etc/passwd\n",
    "board: 1\nslots:\n  - plugin: Delay\n    set: {feedback: .nan}\n",
    "board: 1\nslots:\n  - plugin: Gain\n    set: {gain_db: 1e38}\n",
)
HEADERS = (
    "Host: evil.example", "Host: 127.0.0.1.evil.example", "Origin: http://evil.example", "Origin: null",
    "Origin: http://localhost.evil.example", "Sec-Fetch-Site: cross-site", "Content-Length: 99999999999",
    "Transfer-Encoding: chunked", "X: " + "y" * 4000, "Authorization: Bearer wrong", "Cookie: a=b",
)  # fmt: skip


@dataclass
class Attacker:
    """What all attacks share.

    Args:
        target: the worker.
        chance: random numbers of this attacker's own.
    """

    target: Target
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def udp(self, packet: bytes) -> None:
        """Send a datagram from a new port."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.sendto(packet[:65000], ("127.0.0.1", self.target.osc))
        self.counts["datagrams"] += 1

    @contextmanager
    def connection(self, port: int, seconds: float = 2.0) -> Iterator[socket.socket]:
        """Connect, count it, and leave in one of three ways: politely, by a reset, or half closed."""
        self.counts["connections"] += 1
        connection = socket.create_connection(("127.0.0.1", port), seconds)
        try:
            yield connection
        finally:
            way = self.chance.randrange(3)
            with suppress(OSError):
                if way == 1:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif way == 2:
                    connection.shutdown(socket.SHUT_WR)
            connection.close()

    def arguments(self) -> list[object]:
        """Return some arguments of an OSC message, few of them right."""
        kinds: tuple[Callable[[], object], ...] = (
            lambda: self.chance.choice(NUMBERS), lambda: self.chance.choice(TEXTS),
            lambda: self.chance.randrange(128), lambda: self.chance.random(), lambda: self.chance.choice((True, False)),
            lambda: self.chance.randbytes(8),
        )  # fmt: skip
        return [self.chance.choice(kinds)() for _ in range(self.chance.choice((0, 1, 1, 2, 2, 3)))]

    def message(self) -> bytes:
        """Return a message with an address that exists, or nearly."""
        address = self.chance.choice(ADDRESSES)
        try:
            return encode(address, *self.arguments())  # type: ignore[arg-type]
        except Exception:  # python-osc cannot write every number
            return encode(address)

    def bundle(self, depth: int = 0) -> bytes:
        """Return a bundle of messages and bundles, for any time."""
        when = self.chance.choice((b"\0" * 7 + b"\1", b"\xff" * 8, b"\0" * 8, self.chance.randbytes(8), _soon()))
        parts = [self.message() for _ in range(self.chance.randrange(6))]
        if depth < 4 and self.chance.random() < 0.3:
            parts.append(self.bundle(depth + 1))
        return b"#bundle\0" + when + b"".join(map(sized, parts))

    def mutated(self, data: bytes) -> bytes:
        """Return bytes with some of them changed, cut, doubled or moved."""
        changed = bytearray(data)
        for _ in range(self.chance.randrange(1, 6)):
            if not changed:
                break
            at = self.chance.randrange(len(changed))
            match self.chance.randrange(4):
                case 0:
                    changed[at] = self.chance.randrange(256)
                case 1:
                    del changed[at : at + self.chance.randrange(1, 9)]
                case 2:
                    changed[at:at] = changed[at : at + 16]
                case _:
                    changed[at:at] = self.chance.choice((b"\0", b"\xff" * 4, b"\xc0", b"\r\n\r\n", b"\x7f\xff\xff\xff"))
        return bytes(changed)

    def packet(self) -> bytes:
        """Return a packet, perhaps damaged."""
        packet = self.bundle() if self.chance.random() < 0.3 else self.message()
        return self.mutated(packet) if self.chance.random() < 0.5 else packet


def _soon() -> bytes:
    now = time.time() + 2208988800 + 0.05
    return struct.pack(">II", int(now), int((now % 1) * 2**32))


# -- OSC ---------------------------------------------------------------------------------------------------------------


def send_packets(attacker: Attacker) -> None:
    """Right, nearly right and random packets over UDP."""
    for _ in range(300):
        attacker.udp(attacker.packet())
        if attacker.chance.random() < 0.1:
            attacker.udp(attacker.chance.randbytes(attacker.chance.randrange(1, 400)))
        time.sleep(0.001)


def send_known_killers(attacker: Attacker) -> None:
    """Messages that once ended a thread."""
    for address, arguments in (
        ("/subscribe", (NAN,)), ("/subscribe", (INFINITE,)), ("/subscribe", (1e38,)), ("/subscribe", (-5,)),
        ("/solo/note", (INFINITE, 1.0)), ("/solo/note", (NAN, NAN)), ("/solo/bend", (INFINITE,)),
        ("/solo/cc", (1e38, 1e38)), ("/lead/load", ("loop",)), ("/lead/load", ("loop/x",)), ("/lead/save", ("loop",)),
        ("/render", ("pipe.wav", "new.wav", "lead")), ("/render", ("loop", "loop", "lead")), ("/token", (b"\xff",)),
        ("/token", ("\u00e9",)), ("/lead/mix", (NAN,)), ("/midi/learn", ("\x1b[31m",)),
    ):  # fmt: skip
        with suppress(Exception):
            attacker.udp(encode(address, *arguments))


def subscribe_and_do_not_read(attacker: Attacker) -> None:
    """Subscribers over TCP that never read, and over UDP at ports where nobody listens."""
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(attacker.connection(attacker.target.osc))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.sendall(sized(encode("/subscribe")))
        for port in range(40000, 40040):
            attacker.udp(encode("/subscribe", port))
        time.sleep(1)


def frame_badly(attacker: Attacker) -> None:
    """TCP with framings that are wrong, huge, mixed, or cut anywhere."""
    for _ in range(20):
        with attacker.connection(attacker.target.osc) as connection:
            packet = attacker.packet()
            for data in (
                attacker.chance.choice((sized, slip))(packet),
                b"\x7f\xff\xff\xff" + packet,
                attacker.chance.randbytes(2000),
                b"\xc0" * 3000,
            ):
                connection.sendall(attacker.mutated(data) if attacker.chance.random() < 0.5 else data)


def schedule_the_far_future(attacker: Attacker) -> None:
    """Thousands of changes for next year."""
    message = sized(encode("/lead/mix", 0.5)) + sized(encode("/solo/note", 60, 100))
    when = struct.pack(">II", int(time.time() + 2208988800) + 31_000_000, 0)
    for _ in range(100):
        attacker.udp(b"#bundle\0" + when + message * 200)
        time.sleep(0.002)


def guess_tokens(attacker: Attacker) -> None:
    """Wrong tokens, over everything that takes one."""
    for i in range(20):
        attacker.udp(encode("/token", f"guess {i}"))
    hello = {"version": 1, "board": "lead", "sample_rate": 48000, "channels": 1, "block": 64, "token": "guess"}
    for _ in range(3):
        with attacker.connection(attacker.target.stream) as connection:
            connection.sendall(pack_json(Kind.HELLO, hello))
            connection.recv(1000)
        request(attacker, f"/?token=guess{attacker.chance.random()}", ())


# -- HTTP and websockets -----------------------------------------------------------------------------------------------


def request(attacker: Attacker, path: str, headers: tuple[str, ...], body: bytes = b"") -> None:
    """Send one HTTP request, right or wrong, and read some of the answer."""
    host = () if any(header.startswith("Host") for header in headers) else (f"Host: 127.0.0.1:{attacker.target.query}",)
    lines = "\r\n".join((f"GET {path} HTTP/1.1", *host, *headers, "", "")).encode()
    with attacker.connection(attacker.target.query) as connection:
        connection.sendall((attacker.mutated(lines) if attacker.chance.random() < 0.3 else lines) + body)
        with suppress(OSError):
            connection.recv(100)
    attacker.counts["requests"] += 1


def send_requests(attacker: Attacker) -> None:
    """HTTP with foreign hosts and origins, odd paths and mutations."""
    paths = ("/", "/lead", "/lead/mix?VALUE", "/%00", "/" + "a" * 3000, "/lead?" + "x" * 3000, "//", "/?HOST_INFO")
    for _ in range(30):
        headers = attacker.chance.sample(HEADERS, attacker.chance.randrange(3))
        with suppress(OSError):
            request(attacker, attacker.chance.choice(paths), tuple(headers))


def send_huge_headers(attacker: Attacker) -> None:
    """A header that does not end, and one that comes a byte at a time."""
    with ExitStack() as stack:
        slow = [stack.enter_context(attacker.connection(attacker.target.query)) for _ in range(10)]
        with attacker.connection(attacker.target.query) as fast, suppress(OSError):
            fast.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(100):
                fast.sendall(b"X: " + b"y" * 40_000 + b"\r\n")
        for byte in b"GET /":
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(bytes([byte]))
            time.sleep(0.2)


def open_websockets(attacker: Attacker) -> None:
    """Websockets that listen, send junk, do not read, and leave politely or not."""
    from websockets.sync.client import connect

    url = f"ws://127.0.0.1:{attacker.target.query}/"
    origins = (None, None, "http://evil.example", "null", f"http://127.0.0.1:{attacker.target.query}")
    with ExitStack() as stack:
        for _ in range(20):
            attacker.counts["connections"] += 1
            try:
                socket_ = stack.enter_context(
                    connect(url, origin=attacker.chance.choice(origins), open_timeout=2, close_timeout=0.2, proxy=None)  # type: ignore[arg-type]
                )
                socket_.send('{"COMMAND": "LISTEN", "DATA": "/lead/mix"}')
                socket_.send(attacker.packet())
                socket_.send(attacker.chance.choice(("[" * 5000, "{}", '{"COMMAND": 1}', "\x00", "{" * 100)))
                if attacker.chance.random() < 0.5:
                    socket_.close()
            except Exception:  # refused, closed, or a frame that is no frame
                continue
        time.sleep(0.3)


# -- streams -----------------------------------------------------------------------------------------------------------


def greet(attacker: Attacker, **more: object) -> bytes:
    """Return a HELLO."""
    hello = {"version": 1, "board": "lead", "sample_rate": 48000, "channels": 1, "block": 64, "token": TOKEN}
    return pack_json(Kind.HELLO, {**hello, **more})


def greet_badly(attacker: Attacker) -> None:
    """HELLOs that are wrong, damaged, too large, or never complete."""
    chance = attacker.chance
    for _ in range(20):
        more = {
            "board": chance.choice(("lead", "", "nobody", "x" * 5000, 7, None)),
            "sample_rate": chance.choice((48000, 0, -1, 1e308, "x", None)),
            "channels": chance.choice((1, 2, 64, 0, 10**9, 1.5)),
            "block": chance.choice((64, 65536, 0, -5, 10**12)),
        }
        data = chance.choice((greet(attacker, **more), pack(Kind.BLOCK, b"x" * 100), b"\x01\0\0\0\xff\xff\xff\x7f"))
        with attacker.connection(attacker.target.stream) as connection:
            connection.sendall(attacker.mutated(data) if chance.random() < 0.5 else data)
            with suppress(OSError):
                connection.settimeout(0.05)
                connection.recv(100)


def hold_places(attacker: Attacker) -> None:
    """Connections that say nothing, or a byte now and then."""
    with ExitStack() as stack:
        held = []
        for port in (attacker.target.stream, attacker.target.osc, attacker.target.query):
            for _ in range(30):
                with suppress(OSError):
                    held.append(stack.enter_context(attacker.connection(port)))
        for _ in range(4):
            time.sleep(0.3)
            for connection in held:
                with suppress(OSError):
                    connection.sendall(b"\x01")


def send_hostile_boards(attacker: Attacker) -> None:
    """Boards that are too large, too deep, no boards, or name files elsewhere."""
    for _ in range(3):
        text = attacker.chance.choice(HOSTILE_BOARDS)
        with attacker.connection(attacker.target.stream, 10) as connection:
            connection.sendall(greet(attacker, board="mine", text=text))
            if attacker.chance.random() < 0.7:
                with suppress(OSError):
                    connection.recv(1000)


def play_badly(attacker: Attacker) -> None:
    """Streams with damaged blocks, unknown parameters and NaN, left in the middle of a block."""
    import numpy as np

    from bridge.protocol import Event, pack_audio

    for _ in range(5):
        with attacker.connection(attacker.target.stream) as connection:
            connection.sendall(greet(attacker))
            for i in range(20):
                value = attacker.chance.choice(NUMBERS)
                events = [
                    Event(attacker.chance.randrange(99), attacker.chance.choice(("mix", "x/y", "")), value, b"\x90")
                ]
                audio = np.full((1, 64), attacker.chance.choice((0.1, 0.1, 1e30, NAN)), np.float32)
                block = pack(Kind.BLOCK, pack_audio(audio, events), i)
                with suppress(OSError):
                    connection.sendall(attacker.mutated(block) if attacker.chance.random() < 0.1 else block)
            with suppress(OSError):
                connection.sendall(pack(Kind.BLOCK, bytes(500))[:200])


# -- loads and renders -------------------------------------------------------------------------------------------------


def flood_loads(attacker: Attacker) -> None:
    """More board changes than anybody could play, good ones and bad ones."""
    names = ("amp.yaml", "other.yaml", "amp.nam", "broken.yaml", "outside.yaml", "pipe.yaml", "loop", "nothing.yaml")
    for _ in range(60):
        attacker.udp(encode("/lead/load", attacker.chance.choice(names)))
        time.sleep(0.005)


def flood_renders(attacker: Attacker) -> None:
    """Renders by clients that leave."""
    for i in range(10):
        with attacker.connection(attacker.target.osc) as connection:
            name = f"r{attacker.chance.randrange(10**9)}-{i}.wav"
            connection.sendall(
                sized(encode("/render", "take.wav", name, attacker.chance.choice(("lead", "steady", "x"))))
            )


def save_everywhere(attacker: Attacker) -> None:
    """Saves to places that are none of a client's business."""
    for name in TEXTS:
        with suppress(Exception):
            attacker.udp(encode("/lead/save", name))


ATTACKS: tuple[Callable[[Attacker], None], ...] = (
    send_packets, send_known_killers, subscribe_and_do_not_read, frame_badly, schedule_the_far_future, guess_tokens,
    send_requests, send_huge_headers, open_websockets, greet_badly, hold_places, send_hostile_boards, play_badly,
    flood_loads, flood_renders, save_everywhere,
)  # fmt: skip


def attack_until(target: Target, end: float, seed: int, threads: int = 3) -> Counter[str]:
    """Attack from several threads until a time, with attacks chosen at random; return what was sent.

    Args:
        target: the worker.
        end: as `time.monotonic` has it.
        seed: of the choice and of all random bytes.
        threads: attackers at a time.
    """
    attackers = [Attacker(target, random.Random(f"{seed} {i}")) for i in range(threads)]

    def work(attacker: Attacker) -> None:
        while time.monotonic() < end:
            perform(attacker, attacker.chance.choice(ATTACKS))

    workers = [threading.Thread(target=work, args=(attacker,), daemon=True) for attacker in attackers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    total: Counter[str] = Counter()
    for attacker in attackers:
        total.update(attacker.counts)
    return total


def perform(attacker: Attacker, attack: Callable[[Attacker], None]) -> None:
    """Do one attack. Whatever happens to the attacker is fine."""
    with suppress(OSError):
        attack(attacker)
    attacker.counts[attack.__name__] += 1
