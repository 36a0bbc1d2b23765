"""Where webhooks may not go, whatever the address looks like."""

import socket
from ipaddress import ip_network

import pytest

from monitors_app import guard

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1",
    "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170",
    "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002::1", "2620:4f:8000::1", "3fff::1",
    "4000::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1",
    "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_refuses(address):
    assert address in guard.refusal(address, ())


@pytest.mark.parametrize("address", PUBLIC)
def test_lets_public_addresses_pass(address):
    assert guard.refusal(address, ()) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"])
def test_the_operator_can_allow_a_network_however_it_is_written(address):
    assert guard.refusal(address, (ip_network("127.0.0.0/8"),)) == ""
    assert guard.refusal("10.0.0.1", (ip_network("127.0.0.0/8"),)) != ""


def test_says_what_the_address_is_and_which_setting_allows_it():
    message = guard.refusal("169.254.169.254", ())
    assert "link-local" in message and "GATEWAY_WEBHOOK_ALLOWED_NETS" in message


def test_no_socket_is_made_for_a_refused_address():
    factory = guard.guarded_sockets(())
    with pytest.raises(guard.AddressRefused, match="loopback"):
        factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    with pytest.raises(guard.AddressRefused, match="IPv4 and IPv6"):
        factory((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/run/docker.sock"))
    factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80))).close()
