"""A real S3 server for tests: OpenStack Swift with s3api, on loopback ports of its own, everything under one folder."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import s3fs

KEY, SECRET = "test:tester", "testing"
READER_KEY, READER_SECRET = "test:reader", "reading"
"""A user of the same account without rights of its own: it may do only what the ACL of a bucket grants."""
START_TIMEOUT_S = 60.0
BUCKET = "starloop"

SERVER = """\
[DEFAULT]
swift_dir = {conf}
devices = {devices}
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_level = WARNING
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
recon_cache_path = {cache}
"""
PIPELINE = (
    "catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth copy container_quotas slo dlo versioned_writes symlink"
)
PROXY = """\
[DEFAULT]
swift_dir = {conf}
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_level = WARNING
[pipeline:main]
pipeline = {pipeline} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_interval = 1
error_suppression_limit = 1000000
allow_account_management = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
dns_compliant_bucket_names = true
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
user_test_reader = reading
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""
PLAIN_FILTERS = [name for name in PIPELINE.split() if name not in ("s3api", "tempauth", "versioned_writes")]
CONFIGURE = """
import sys
from swift.common import utils
folder, bucket, *headers = sys.argv[1:]
utils.SWIFT_CONF_FILE = folder + "/swift.conf"
utils.HASH_PATH_SUFFIX = utils.HASH_PATH_PREFIX = b""
utils.validate_hash_conf()
from swift.common.direct_client import direct_post_container
from swift.common.ring import Ring
part, nodes = Ring(folder, ring_name="container").get_nodes("AUTH_test", bucket)
direct_post_container(nodes[0], part, "AUTH_test", bucket, headers=dict(header.split("=", 1) for header in headers))
"""


class Swift:
    """with Swift(folder) as swift: ... swift.endpoint ... swift.stop("object") ... swift.start("object")"""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(("account", "container", "object", "proxy"), _free_ports(4), strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.endpoint = f"http://127.0.0.1:{self._ports['proxy']}"

    def __enter__(self) -> "Swift":
        self._configure()
        for kind in self._ports:
            self.start(kind)
        self._wait_for("proxy", f"{self.endpoint}/healthcheck")
        return self

    def __exit__(self, *_: object) -> None:
        for kind in list(self._processes):
            self.stop(kind)

    def start(self, kind: str) -> None:
        log = open(self._folder / f"{kind}.log", "ab")  # noqa: SIM115  # the child keeps it
        self._processes[kind] = subprocess.Popen(
            [str(Path(sys.executable).parent / f"swift-{kind}-server"), str(self._folder / "conf" / f"{kind}-server.conf")],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._ports[kind]), timeout=1).close()
                return
            except OSError:
                assert self._processes[kind].poll() is None, (self._folder / f"{kind}.log").read_text()[-2000:]
                time.sleep(0.1)
        raise TimeoutError(f"{kind} server does not listen")

    def stop(self, kind: str) -> None:
        """Kill the server at once, like a machine that loses its power."""
        process = self._processes.pop(kind)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def filesystem(self, key: str = KEY, secret: str = SECRET) -> "s3fs.S3FileSystem":
        """A new filesystem that shares no instance and no credentials with others."""
        import s3fs

        return s3fs.S3FileSystem(
            key=key, secret=secret, endpoint_url=self.endpoint, skip_instance_cache=True, use_listings_cache=False
        )

    def configure_bucket(self, bucket: str, **headers: str) -> None:
        """swift.configure_bucket("b", X_Container_Meta_Quota_Bytes="1000"): set what S3 cannot, past the proxy."""
        arguments = [bucket, *(f"{name.replace('_', '-')}={value}" for name, value in headers.items())]
        subprocess.run([sys.executable, "-c", CONFIGURE, str(self._folder / "conf"), *arguments], check=True, timeout=60)

    def _wait_for(self, kind: str, url: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError((self._folder / f"{kind}.log").read_text()[-2000:])

    def _configure(self) -> None:
        conf, devices, cache = self._folder / "conf", self._folder / "devices", self._folder / "cache"
        for folder in (conf, devices / "sdb1", cache):
            folder.mkdir(parents=True)
        affix = f"swift_hash_path_suffix = {secrets.token_hex(8)}\nswift_hash_path_prefix = {secrets.token_hex(8)}\n"
        (conf / "swift.conf").write_text(f"[swift-hash]\n{affix}[storage-policy:0]\nname = gold\ndefault = yes\n")
        values = {"conf": conf, "devices": devices, "cache": cache, "user": _user()}
        for kind in ("account", "container", "object"):
            (conf / f"{kind}-server.conf").write_text(SERVER.format(kind=kind, port=self._ports[kind], **values))
            builder = [str(Path(sys.executable).parent / "swift-ring-builder"), f"{kind}.builder"]
            for command in (["create", "6", "1", "0"], ["add", f"r1z1-127.0.0.1:{self._ports[kind]}/sdb1", "1"], ["rebalance"]):
                subprocess.run([*builder, *command], cwd=conf, check=False, capture_output=True, timeout=60)
            assert (conf / f"{kind}.ring.gz").exists()
        filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in PLAIN_FILTERS)
        proxy = PROXY.format(port=self._ports["proxy"], pipeline=PIPELINE, **values)
        (conf / "proxy-server.conf").write_text(proxy + filters)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
