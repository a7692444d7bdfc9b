"""A stranger without the key, as a process of its own (attack_test.py starts it in a namespace):

  stranger.py hold COUNT HOST PORT...   opens COUNT connections to each port and keeps them
  stranger.py half COUNT HOST PORT...   the same, with half a greeting on each
  stranger.py garbage 0 HOST PORT...    connections full of garbage, as many as go
  stranger.py beacons 0 HOST PORT...    UDP garbage, some of it much like beacons
  stranger.py local 0 PATH              a client of the control socket that asks without end

It says "ready" when it has begun and goes on until it is killed.
"""

import os
import random
import resource
import selectors
import socket
import sys
import time

# Source addresses, so that a bound by address is not the only one that is met.
SOURCES = [f"10.78.1.{i + 1}" for i in range(16)]
# Connections that the other side closed are opened again, this many in a second.
REOPEN = 2000

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
CURVE_GREETING = SIGNATURE + b"\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
HALVES = [SIGNATURE[:5], SIGNATURE, CURVE_GREETING[:30], b"GET / HTTP/1.1\r\nHost: local"]


def ready():
    print("ready", flush=True)


def hold(count, host, ports, greetings):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.EpollSelector()
    todo = [(port, i) for i in range(count) for port in ports]
    said = False
    while True:
        for port, i in todo[:REOPEN if said else None]:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            s.bind((SOURCES[i % len(SOURCES)], 0))
            s.connect_ex((host, port))
            selector.register(s, selectors.EVENT_WRITE if greetings else selectors.EVENT_READ,
                              (port, i))
        del todo[:REOPEN if said else None]
        if not said:
            said = True
            ready()
        for key, events in selector.select(0.1)[:5000]:
            s = key.fileobj
            try:
                if events & selectors.EVENT_WRITE:
                    s.send(greetings[key.data[1] % len(greetings)])
                    selector.modify(s, selectors.EVENT_READ, key.data)
                    continue
                if s.recv(4096):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            selector.unregister(s)
            s.close()
            todo.append(key.data)
        time.sleep(1)


def garbage(host, ports):
    chance = random.Random(1)
    ready()
    for turn in range(1 << 62):
        with socket.socket() as s:
            s.settimeout(0.2)
            try:
                s.bind((SOURCES[turn % len(SOURCES)], 0))
                s.connect((host, ports[turn % len(ports)]))
                begin = chance.choice([b"", SIGNATURE, GREETING, CURVE_GREETING, b"POST / HTTP/1.1\r\n"])
                s.sendall(begin + chance.randbytes(chance.choice([10, 1000, 100_000])))
            except OSError:
                pass


def beacons(host, ports):
    chance = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        ready()
        while True:
            kind = chance.choice([b"", b"Shoa\x01\x01", b"Shoa\x01\x02", b"Shoa\x01\x03"])
            size = chance.choice([112, 112, 112, 20, 1400])
            packet = (kind + chance.randbytes(size))[:size]
            for port in ports:
                for target in (host, "10.78.255.255"):
                    try:
                        s.sendto(packet, (target, port))
                    except OSError:
                        pass


def frame(body):
    if len(body) > 255:
        return b"\x02" + len(body).to_bytes(8, "big") + body
    return b"\x00" + bytes([len(body)]) + body


def local(path):
    """ZMTP 3.0 by hand, so that nothing holds it back."""
    chance = random.Random(1)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(GREETING)
        command = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
        s.sendall(b"\x04" + bytes([len(command)]) + command)
        received = b""
        while len(received) < 64:
            received += s.recv(64)
        ready()
        status = b"\x94\x01\x03\x01\x80"
        models = b"\x94\x01\x04\x01\x80"
        batch = b"".join(frame(chance.choice([status, models, chance.randbytes(20)]))
                         for _ in range(10_000))
        while True:
            s.sendall(batch)
            try:  # what comes back is thrown away, now and then
                if chance.random() < 0.5:
                    s.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass


def main():
    os.nice(10)
    mode, count, target, *ports = sys.argv[1:]
    ports = [int(p) for p in ports]
    if mode == "hold":
        hold(int(count), target, ports, None)
    elif mode == "half":
        hold(int(count), target, ports, HALVES)
    elif mode == "garbage":
        garbage(target, ports)
    elif mode == "beacons":
        beacons(target, ports)
    elif mode == "local":
        local(target)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
