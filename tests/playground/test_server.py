"""The server answers only this machine's browser, and only requests within its bounds."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from jaxnets.playground import main
from jaxnets.playground import server as module
from jaxnets.playground.server import Server

TOKEN = "token-of-the-test"


@pytest.fixture(scope="module")
def server():
    with Server(token=TOKEN) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def request(server, method, path, body=None, **headers):
    """The status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def origin(server):
    return f"http://127.0.0.1:{server.server_port}"


def command(server, body, **headers):
    sent = {"X_Token": TOKEN, "Origin": origin(server)} | headers
    return request(server, "POST", "/", body, **sent)


def test_the_page_is_served_with_its_token_and_a_strict_policy(server):
    status, headers, text = request(server, "GET", f"/?token={TOKEN}")
    assert status == 200 and "main.js" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for name in ("main.js", "style.css"):
        assert request(server, "GET", f"/{name}")[0] == 200


def test_the_server_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?token=wrong", "/events", "/events?token=%C3%A9"]
)
def test_a_request_without_the_token_is_refused(server, path):
    assert request(server, "GET", path)[0] == 403


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_command_without_the_token_is_refused(server, token):
    assert command(server, "{}", X_Token=token)[0] == 403


@pytest.mark.parametrize("sent", ["http://example.org", "null", "http://127.0.0.1:1", ""])
def test_a_request_of_another_site_is_refused(server, sent):
    assert command(server, "{}", Origin=sent)[0] == 403
    assert request(server, "GET", f"/events?token={TOKEN}", Origin=sent)[0] == 403


def test_a_command_without_an_origin_is_refused(server):
    assert request(server, "POST", "/", "{}", X_Token=TOKEN)[0] == 403


def test_a_name_that_resolves_to_this_machine_is_refused(server):
    assert request(server, "GET", f"/?token={TOKEN}", Host="example.org")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/..%2fserver.py", "//etc/passwd", "/static/main.js", "/%2e%2e/x", "/x"],
)
def test_other_files_are_not_served(server, path):
    assert request(server, "GET", f"{path}?token={TOKEN}")[0] == 404


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": [10**9]}, "a hidden layer expects one of 1, 2"),
        ({"hidden": [8] * 7}, "hidden expects a list of at most 6"),
        ({"seeds": 10**9}, "seeds expects one of 1, 4, 16, 64"),
        ({"seeds": True}, "seeds expects one of"),
        ({"batch": 0}, "batch expects a whole number from 1 to 30"),
        ({"batch": 1.5}, "batch expects a whole number"),
        ({"rate": "1"}, "rate expects a number from 0.0 to 10.0"),
        ({"data": "__class__"}, "data expects one of circle"),
        ({"task": "regression", "data": "xor"}, "regression expects data from plane, hills"),
        ({"features": []}, "features expects at least one"),
        ({"optimizer": "GradientTransformation"}, "optimizer expects one of"),
        ({"\x1b[2J": 1}, "expected settings from"),
        ([], "expected settings by name"),
    ],
)
def test_settings_out_of_bounds_are_refused_in_one_line(server, options, message):
    path = f"/events?token={TOKEN}&options={quote(json.dumps(options))}"
    status, _, text = request(server, "GET", path)
    assert status == 400
    assert message in text and text.isprintable() and len(text) < 600


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 4000, '{"rate": NaN}', '{"rate": 1e999}'])
def test_settings_that_are_not_json_are_refused(server, text):
    assert request(server, "GET", f"/events?token={TOKEN}&options={quote(text)}")[0] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 404),
        ('{"session": "x"}', 404),
        ('{"session": []}', 404),
        ("{", 400),
        (b"\xff", 400),
        ("x" * (module.BODY + 1), 413),
    ],
)
def test_commands_out_of_bounds_are_refused(server, body, status):
    assert command(server, body)[0] == status


@pytest.mark.parametrize("length", ["", "-1", "1e3", "9" * 30, "²"])
def test_a_wrong_length_is_refused(server, length):
    encoded = length.encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nOrigin: {origin(server)}\r\n"
    )
    sent = head.encode() + f"X-Token: {TOKEN}\r\nContent-Length: ".encode() + encoded + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(sent)
        assert raw.recv(100).split()[1] == b"411"


def test_a_body_that_does_not_end_is_abandoned(server, monkeypatch):
    monkeypatch.setattr(module.Handler, "timeout", 0.2)
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nOrigin: {origin(server)}\r\n"
    )
    head += f"X-Token: {TOKEN}\r\nContent-Length: 100\r\n\r\nx"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(head.encode())
        assert raw.recv(100).split()[1] == b"400"


TABLE = b"a,b,c\n" + b"".join(b"%d,%d,%d\n" % (i, i % 7, i % 2) for i in range(60))


def test_a_table_is_accepted_only_from_the_page_and_up_to_the_size_limit(server):
    sent = {"X_Token": TOKEN, "Origin": origin(server)}
    status, _, text = request(server, "POST", "/table?name=t.csv", TABLE, **sent)
    assert status == 200 and json.loads(text)["tasks"]["c"] == "classification"
    for wrong in ({"X_Token": ""}, {"Origin": "http://example.org"}):
        assert request(server, "POST", "/table?name=t.csv", TABLE, **sent | wrong)[0] == 403
    for path, body, code in (
        ("/table", TABLE, 400),
        ("/table?name=..%2Ft.exe", TABLE, 400),
        ("/table?name=t.csv", b"\xff\0" * 99, 400),
    ):
        status, _, text = request(server, "POST", path, body, **sent)
        assert status == code and text.isprintable()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        head = f"POST /table?name=t.csv HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
        head += f"Origin: {origin(server)}\r\nX-Token: {TOKEN}\r\nContent-Length: {2**20 + 1}"
        raw.sendall(f"{head}\r\n\r\n".encode())
        assert raw.recv(100).split()[1] == b"413"


def test_missing_own_data_are_refused_in_one_line(server):
    settings = quote(json.dumps({"data": "table", "table": "other.csv", "target": "c"}))
    status, _, text = request(server, "GET", f"/events?token={TOKEN}&options={settings}")
    assert status == 400 and "choose its file" in text and text.isprintable()


def test_too_many_tabs_are_refused(server, monkeypatch):
    monkeypatch.setattr(module, "TABS", 0)
    status, _, text = request(server, "GET", f"/events?token={TOKEN}")
    assert status == 503 and "close one" in text


def test_a_port_in_use_and_one_out_of_range_are_refused(server, capsys):
    assert main(["--port", str(server.server_port), "--no-browser"]) == 2
    assert "choose another" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--port", "70000"])


def wait_for(events, kind):
    """The data of the next event of this kind."""
    while events.readline() != f"event: {kind}\n".encode():
        pass
    return json.loads(events.readline().removeprefix(b"data: "))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_networks_train_is_a_normal_end():
    command = [sys.executable, "-m", "jaxnets.playground", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = urlsplit(process.stdout.readline())
    token = parse_qs(address.query)["token"][0]
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    connection.request("GET", f"/events?token={token}")
    events = connection.getresponse()
    name = wait_for(events, "session")["name"]
    wait_for(events, "start")
    other = http.client.HTTPConnection(address.netloc, timeout=60)
    headers = {"X-Token": token, "Origin": f"http://{address.netloc}"}
    other.request("POST", "/", json.dumps({"session": name, "do": "play"}), headers)
    assert other.getresponse().status == 200
    wait_for(events, "frame")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
