from __future__ import annotations

import asyncio
import socket
import struct
import time
from itertools import pairwise

import pytest

from gateway.frame import CAN_FD, Garbage
from gateway.framing.isotp import IsoTpJoiner, IsoTpPdu
from gateway.framing.isotp_sender import IsoTpSender, flow_control
from gateway.framing.spec import IsoTp

pytestmark = pytest.mark.kernel

OURS, THEIRS = 0x7E0, 0x7E8
SPEC = IsoTp(tx=OURS, rx=THEIRS, max=4095)
SOL_CAN_ISOTP = 106  # linux/can/isotp.h: SOL_CAN_BASE + CAN_ISOTP
RECV_FC, LL_OPTS = 2, 5
LIMIT_S = 15.0


def kernel_peer(vcan, *, block=0, separation=0, fd=False):
    """The kernel's own ISO-TP at the other end: it listens to OURS and speaks on THEIRS."""
    peer = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP)
    peer.setsockopt(SOL_CAN_ISOTP, RECV_FC, struct.pack("=BBB", block, separation, 0))
    if fd:
        peer.setsockopt(SOL_CAN_ISOTP, LL_OPTS, struct.pack("=BBB", 72, 64, 1))
    peer.bind((vcan.name, OURS, THEIRS))
    peer.settimeout(LIMIT_S)
    return peer


async def send(port, body, *, frame_bytes=8, times=None):
    """Send one message by IsoTpSender; return how it ended."""
    sender = IsoTpSender(body, time.monotonic_ns(), frame_bytes=frame_bytes)
    while sender.wake_ns is not None:
        for frame in sender.due(time.monotonic_ns()):
            await port.write(frame, OURS | (CAN_FD if frame_bytes > 8 else 0))
            if times is not None:
                times.append(time.monotonic())
        sender.sent(time.monotonic_ns())
        if sender.wake_ns is None:
            break
        wait_s = max((sender.wake_ns - time.monotonic_ns()) / 1e9, 0)
        try:
            async with asyncio.timeout(wait_s):
                batch = await port.read()
        except TimeoutError:
            continue
        for payload in batch.payloads:
            sender.heard(payload, time.monotonic_ns())
    return sender.state, sender.reason


async def receive(port, *, answers_on=OURS, block=0, leave_out=()):
    """Join what comes by IsoTpJoiner, answering as a receiver does; return the first whole or broken message."""
    joiner, place, in_block = IsoTpJoiner(SPEC), 0, 0
    async with asyncio.timeout(LIMIT_S):
        while True:
            batch = await port.read()
            for address, payload, stamp_ns in zip(batch.addresses, batch.payloads, batch.stamps_ns, strict=True):
                place += 1
                if place - 1 in leave_out:
                    continue
                found = joiner.feed(address, payload, stamp_ns)
                if found:
                    return found[0]
                in_block += payload[0] >> 4 == 2
                if payload[0] >> 4 == 1 or (block and in_block == block):
                    in_block = 0
                    await port.write(flow_control(block=block), answers_on)


def exchange(vcan, scenario, **options):
    async def work():
        port, peer = vcan.port(), kernel_peer(vcan, **options)
        await port.open()
        try:
            return await scenario(port, peer)
        finally:
            await port.close()
            peer.close()

    return asyncio.run(work())


@pytest.mark.parametrize("size", [1, 7, 8, 62, 200, 4095])
def test_isotp_a_message_of_ours_arrives_whole_at_the_kernel(vcan, size):
    body = bytes(number % 251 for number in range(size))

    async def scenario(port, peer):
        ended = await send(port, body)
        return ended, await asyncio.to_thread(peer.recv, 8192)

    assert exchange(vcan, scenario) == (("done", ""), body)


@pytest.mark.parametrize("size", [1, 7, 8, 62, 200, 4095])
def test_isotp_a_message_of_the_kernel_s_is_joined_whole(vcan, size):
    body = bytes(number % 251 for number in range(size))

    async def scenario(port, peer):
        peer.send(body)
        return await receive(port)

    assert exchange(vcan, scenario) == IsoTpPdu(body, THEIRS)


def test_isotp_our_sender_stops_at_every_block_that_the_kernel_asks_for(vcan):
    body = bytes(300)

    async def scenario(port, peer):
        ended = await send(port, body)
        return ended, await asyncio.to_thread(peer.recv, 8192)

    assert exchange(vcan, scenario, block=4) == (("done", ""), body)


def test_isotp_our_sender_keeps_the_separation_time_that_the_kernel_asks_for(vcan):
    times = []

    async def scenario(port, peer):
        ended = await send(port, bytes(60), times=times)
        await asyncio.to_thread(peer.recv, 8192)
        return ended

    assert exchange(vcan, scenario, separation=30) == ("done", "")
    gaps = [later - earlier for earlier, later in pairwise(times[1:])]
    assert min(gaps) >= 0.03


def test_isotp_the_kernel_keeps_to_the_blocks_that_we_ask_for(vcan):
    body = bytes(range(200))

    async def scenario(port, peer):
        peer.send(body)
        return await receive(port, block=3)

    assert exchange(vcan, scenario) == IsoTpPdu(body, THEIRS)


@pytest.mark.parametrize("size", [62, 63, 500])
def test_isotp_messages_in_fd_frames_go_both_ways(vcan, size):
    body = bytes(number % 251 for number in range(size))

    async def scenario(port, peer):
        ended = await send(port, body, frame_bytes=64)
        heard = await asyncio.to_thread(peer.recv, 8192)
        peer.send(body)
        return ended, heard, await receive(port, answers_on=OURS | CAN_FD)

    assert exchange(vcan, scenario, fd=True) == (("done", ""), body, IsoTpPdu(body, THEIRS))


def test_isotp_a_segment_that_is_missing_is_told_and_gives_no_message(vcan):
    async def scenario(port, peer):
        peer.send(bytes(200))
        return await receive(port, leave_out={5})

    found = exchange(vcan, scenario)
    assert isinstance(found, Garbage)
    assert found.reason == "missing"


def test_isotp_a_message_too_long_for_the_kernel_is_refused_by_its_flow_control(vcan):
    async def scenario(port, _peer):
        return await send(port, bytes(100_000))

    assert exchange(vcan, scenario) == ("failed", "overflow")


def test_isotp_a_receiver_that_is_not_there_is_a_timeout(vcan):
    async def scenario(port, peer):
        peer.close()
        return await send(port, bytes(20))

    assert exchange(vcan, scenario) == ("failed", "timeout")
