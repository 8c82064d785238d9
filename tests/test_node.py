"""Nodes, AE titles, ports and timeouts: what can be meant and what cannot."""

from __future__ import annotations

import copy
import pickle
import ssl

import pytest

from dicomover import Node, Quirks, Timeouts
from dicomover.errors import ConfigurationError
from dicomover.node import check_ae_title, check_port


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("ARCHIVE@pacs.example.org:104", Node("pacs.example.org", 104, ae_title="ARCHIVE")),
        (" ARCHIVE@pacs.example.org:104 ", Node("pacs.example.org", 104, ae_title="ARCHIVE")),
        ("pacs.example.org:104", Node("pacs.example.org", 104)),
        ("MY PACS@10.0.0.1:11112", Node("10.0.0.1", 11112, ae_title="MY PACS")),
        ("A:B@host:104", Node("host", 104, ae_title="A:B")),
        ("ARCHIVE@[::1]:104", Node("::1", 104, ae_title="ARCHIVE")),
        ("[fe80::1]:104", Node("fe80::1", 104)),
    ],
)
def test_parse(text: str, node: Node) -> None:
    """`AETITLE@host:port` is the same as the Node, and its text reads back."""
    assert Node.parse(text) == node
    assert Node.parse(str(node)) == node
    assert Node.parse(node) is node
    assert eval(repr(node), {"Node": Node}) == node


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("[::1]", "::1"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("::1", "::1"),
        ("h", "h"),
    ],
)
def test_an_address_may_stand_in_brackets(written: str, host: str) -> None:
    """IPv6 is understood as it is written beside a port, and shown so."""
    node = Node(written, 104)
    assert node.host == host
    assert Node.parse(str(node)) == node


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":104", "@host:104", "A@host", "A@host:x", "A@host:0", "A@host:65536", "A@ho st:104",
     "A@host/x:104", "::1:104", "A@B@host:104", "TOOLONGAETITLE123@host:104", "A\\B@host:104",
     "http://host:104", 104, None],
)  # fmt: skip
def test_what_is_no_node(text: object) -> None:
    """What cannot be a node is a ConfigurationError, which is a ValueError."""
    with pytest.raises(ConfigurationError) as caught:
        Node.parse(text)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("", 104, "host"),
        (None, 104, "host"),
        ("a b", 104, "host"),
        ("h", "104", "port"),
        ("h", True, "port"),
        ("h", 1.5, "port"),
    ],
)
def test_hosts_and_ports(host: object, port: object, says: str) -> None:
    """A wrong host or port is named."""
    with pytest.raises(ConfigurationError, match=says):
        Node(host, port)  # type: ignore[arg-type]


@pytest.mark.parametrize("title", ["A", "ARCHIVE", "A" * 16, " ARCHIVE ", "MY PACS", "a-b_c.d", "X" + " " * 15 + "  "])
def test_ae_titles(title: str) -> None:
    """An AE title has 1 to 16 characters of the default repertoire; padding does not count (PS3.5 Table 6.2-1)."""
    assert check_ae_title(title) == title.strip(" ")


@pytest.mark.parametrize(
    ("title", "says"),
    [
        ("", "is empty"), ("   ", "is empty"), ("A" * 17, "17 characters"), ("A\\B", "does not allow"),
        ("A\tB", "does not allow"), ("ÄRCHIV", "does not allow"),
        ("A\n", "does not allow"), ("A\x7f", "does not allow"),
        (None, "not a text"), (104, "not a text"), (b"A", "not a text"),
    ],
)  # fmt: skip
def test_ae_titles_that_cannot_be_meant(title: object, says: str) -> None:
    """A wrong AE title says what is wrong with it, under the name it was given."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        check_ae_title(title, "Move Destination")  # type: ignore[arg-type]
    assert str(caught.value).startswith("Move Destination ")


@pytest.mark.parametrize(("port", "lowest"), [(1, 1), (65535, 1), (0, 0)])
def test_ports(port: int, lowest: int) -> None:
    """A TCP port is a whole number up to 65535; 0 only where any port will do."""
    assert check_port(port, lowest=lowest) == port
    with pytest.raises(ConfigurationError, match=f"from {lowest} to 65535"):
        check_port(lowest - 1, lowest=lowest)


def test_a_node_keeps_its_secrets_and_its_value() -> None:
    """The TLS context is no part of the repr nor of the comparison; a node is frozen, hashable and can be copied."""
    secret = Node("h", 104, ae_title="A", tls=ssl.create_default_context())
    plain = Node("h", 104, ae_title="A")
    assert repr(secret) == "Node('h', 104, ae_title='A')"
    assert secret == plain
    assert hash(secret) == hash(plain)
    assert copy.copy(plain) == plain
    assert pickle.loads(pickle.dumps(plain)) == plain
    with pytest.raises(AttributeError):
        plain.host = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Node("h", 104, "A")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
     ("LocalHost", True), ("10.0.0.1", False),
     ("pacs.example.org", False), ("localhost.example.org", False)],
)  # fmt: skip
def test_loopback(host: str, here: bool) -> None:
    """A node on this machine is known by its address, without asking the network."""
    assert Node(host, 104).is_loopback is here


def test_timeouts_of_the_contract() -> None:
    """The defaults are those of the contract: DIMSE without limit, a stall after 900 s."""
    assert Timeouts() == Timeouts(connect=60, acse=60, dimse=None, stall=900)


@pytest.mark.parametrize("name", ["connect", "acse", "dimse", "stall"])
def test_timeouts(name: str) -> None:
    """Each is a number of seconds above 0, or None for no limit."""
    for value in (None, 1, 0.5, 86400):
        assert getattr(Timeouts(**{name: value}), name) == value
    for value in (0, -1, float("inf"), float("nan"), "60", True):
        with pytest.raises(ConfigurationError, match=f"timeout {name}="):
            Timeouts(**{name: value})


def test_a_name_says_who_a_node_is() -> None:
    """A name is kept and shown, and can be read back; one that nobody can read is refused."""
    node = Node("10.0.0.1", 104, ae_title="ARCHIVE", name="main archive")
    assert eval(repr(node), {"Node": Node}) == node
    assert node.known_as == ("main archive",)
    for name in (" ", "a\nb", " main", 7):
        with pytest.raises(ConfigurationError, match="is no name"):
            Node("10.0.0.1", 104, name=name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"lists": "no"}, {"lists": 0}, {"patient_id": None}, {"find_cap": 0}, {"find_cap": True}, {"find_cap": "500"},
        {"cancels": 1}, {"roles": "scu"}, {"roles": True}, {"find_cap": 1.5},
    ],
)  # fmt: skip
def test_quirks_that_cannot_be_meant(wrong: dict[str, object]) -> None:
    """A quirk of a wrong type or value is named with it."""
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"quirk {name}="):
        Quirks(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="is no Quirks"):
        Node("h", 104, quirks=wrong)  # type: ignore[arg-type]


def test_quirks_show_what_is_said() -> None:
    """The repr of a node has those of its quirks that are not the usual ones, and reads back."""
    node = Node("h", 104, quirks=Quirks(cancels=False, roles="both"))
    assert repr(node) == "Node('h', 104, ae_title='ANY-SCP', quirks=Quirks(cancels=False, roles='both'))"
    assert eval(repr(node), {"Node": Node, "Quirks": Quirks}) == node
