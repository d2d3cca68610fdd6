"""The pytest plugin, as a stranger's test suite meets it: installed, and therefore there."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

HEAVY = [
    "sqlalchemy",
    "uvicorn",
    "starlette",
    "pydantic",
    "structlog",
    "bcrypt",
    "uvloop",
    "trustme",
    "alembic",
]


def passes(pytester: pytest.Pytester, count: int, *options: str) -> None:
    """All tests pass, with every warning an error."""
    result = pytester.runpytest_subprocess(
        "-W", "error", "--strict-markers", "-p", "no:cacheprovider", *options
    )
    result.assert_outcomes(passed=count)


def test_nothing_heavy_is_imported() -> None:
    """Who has the registry installed and does not use it in tests pays nothing for that."""
    code = f"import sys, registry.testing.plugin; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_function_scope(pytester: pytest.Pytester) -> None:
    """Each test has a registry that is empty at its start."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("number", range(3))
        def test_it(oci_registry, number):
            assert oci_registry.repositories() == []
            assert len(oci_registry.requests) == 0
            oci_registry.push_image(f"app:{number}")
    """)
    passes(pytester, 3)


def test_module_and_session_scope(pytester: pytest.Pytester) -> None:
    """The tests of a module share one, those of a session another."""
    test = """
        def test_one(oci_registry_module, oci_registry_session):
            assert oci_registry_module.tags("app") == []
            oci_registry_module.push_image("app:1")
            oci_registry_session.push_image("app:{name}")

        def test_two(oci_registry_module, oci_registry_session):
            assert oci_registry_module.tags("app") == ["1"]
            assert oci_registry_session.tags("app") == {seen}
            assert oci_registry_session.url != oci_registry_module.url
    """
    pytester.makepyfile(
        test_a=test.format(name="a", seen=["a"]), test_b=test.format(name="b", seen=["a", "b"])
    )
    passes(pytester, 4)


def test_options(pytester: pytest.Pytester) -> None:
    """Options come from the fixture for all, from the marker of a module, and from that of a test, which wins."""
    pytester.makeconftest("""
        import pytest

        @pytest.fixture(scope="session")
        def oci_registry_options():
            return {"auth": {"conftest": "secret"}, "latency": 0.001}
    """)
    pytester.makepyfile(
        test_plain="""
            def test_it(oci_registry, oci_registry_session, oci_registry_factory):
                for oci in (oci_registry, oci_registry_session, oci_registry_factory()):
                    assert oci.users == {"conftest": "secret"}
                assert oci_registry_factory(auth={"a": "b"}).users == {"a": "b"}
        """,
        test_marked="""
            import pytest

            pytestmark = pytest.mark.oci_registry(auth={"module": "secret"}, tls=True)

            def test_module(oci_registry, oci_registry_module):
                for oci in (oci_registry, oci_registry_module):
                    assert oci.users == {"module": "secret"}
                    assert oci.url.startswith("https:")

            @pytest.mark.oci_registry(auth={"test": "secret"})
            def test_own(oci_registry):
                assert oci_registry.users == {"test": "secret"}
                assert oci_registry.url.startswith("https:")
        """,
    )
    passes(pytester, 3)


def test_factory(pytester: pytest.Pytester) -> None:
    """The factory starts as many as are wanted, and stops them all."""
    pytester.makepyfile("""
        import urllib.request, urllib.error
        import pytest

        URLS = []

        def test_two(oci_registry_factory):
            one, other = oci_registry_factory(), oci_registry_factory(read_only=True)
            one.push_image("app:1")
            assert other.tags("app") == []
            for oci in (one, other):
                urllib.request.urlopen(oci.url + "/v2/").close()
                URLS.append(oci.url)

        def test_gone():
            for url in URLS:
                with pytest.raises(urllib.error.URLError):
                    urllib.request.urlopen(url + "/v2/")
    """)
    passes(pytester, 2)


def test_factories_of_all_scopes(pytester: pytest.Pytester) -> None:
    """What a factory of a module or a session starts runs as long as that, and markers are its defaults."""
    pytester.makepyfile("""
        import urllib.request, urllib.error
        import pytest

        pytestmark = pytest.mark.oci_registry(auth={"module": "secret"})

        @pytest.fixture(scope="module")
        def mirror(oci_registry_factory_module):
            return oci_registry_factory_module(store="filesystem")

        @pytest.fixture(scope="session")
        def hub(oci_registry_factory_session):
            return oci_registry_factory_session()

        def test_one(mirror, hub, oci_registry):
            mirror.push_image("app:1")
            hub.push_image("app:1")
            assert mirror.users == {"module": "secret"}
            assert hub.users == {}

        @pytest.mark.oci_registry(auth={"test": "secret"})
        def test_two(mirror, hub, oci_registry_factory):
            assert mirror.tags("app") == hub.tags("app") == ["1"]
            assert oci_registry_factory().users == {"test": "secret"}
            assert oci_registry_factory(auth={"own": "secret"}).users == {"own": "secret"}
    """)
    passes(pytester, 2)


def test_a_marker_that_nobody_heeds(pytester: pytest.Pytester) -> None:
    """A marker that cannot reach the registry of its test is an error, and so is an option without a name."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.oci_registry(tls=True)
        def test_shared(oci_registry_module):
            pass

        @pytest.mark.oci_registry(True)
        def test_positional(oci_registry):
            pass

        @pytest.mark.oci_registry(tls=True)
        def test_both(oci_registry, oci_registry_module):
            assert oci_registry.ca_file
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(
        ["*of test_shared does not reach oci_registry_module*", "*options of*have names: (True,)*"]
    )


def test_report_of_a_setup_that_fails(pytester: pytest.Pytester) -> None:
    """The report is there where a fixture fails that uses the registry, and where nobody named it in a signature."""
    pytester.makepyfile("""
        import urllib.request
        import pytest

        @pytest.fixture
        def broken(oci_registry):
            urllib.request.urlopen(oci_registry.url + "/v2/").close()
            raise RuntimeError

        def test_setup(broken):
            pass

        def test_dynamic(request):
            oci = request.getfixturevalue("oci_registry")
            urllib.request.urlopen(oci.url + "/readyz").close()
            raise RuntimeError
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1, failed=1)
    result.stdout.fnmatch_lines(["1  GET    /v2/  200*", "1  GET    /readyz  200*"])


def test_report_of_shared_registries(pytester: pytest.Pytester) -> None:
    """Of a shared registry a failed test shows what came since it began, and of much only beginning and end."""
    pytester.makepyfile("""
        import urllib.request

        def test_good(oci_registry_session):
            urllib.request.urlopen(oci_registry_session.url + "/healthz").close()

        def test_bad(oci_registry_session):
            for number in range(130):
                urllib.request.urlopen(f"{oci_registry_session.url}/readyz?{number}").close()
            raise RuntimeError
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*/healthz*")
    result.stdout.fnmatch_lines(
        [
            "*  1  GET    /readyz[?]0  200*",
            " 20  *",
            "... 30 more ...",
            " 51  *",
            "130  GET    /readyz[?]129*",
        ]
    )


def test_unknown_option(pytester: pytest.Pytester) -> None:
    """A misspelt option is an error that names it."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.oci_registry(colour="red")
        def test_it(oci_registry):
            pass
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unexpected keyword argument 'colour'*"])


def test_report_of_a_failure(pytester: pytest.Pytester) -> None:
    """A test that fails shows what was asked of its registries, also where fixtures of its own stand between."""
    pytester.makepyfile("""
        import urllib.request
        import pytest

        @pytest.fixture
        def url(oci_registry):
            return oci_registry.url

        def test_direct(oci_registry):
            urllib.request.urlopen(oci_registry.url + "/v2/").close()
            assert len(oci_registry.requests.to("PATCH")) == 1

        def test_indirect(url, oci_registry_factory):
            oci_registry_factory().faults.on("PUT").answer(503)
            urllib.request.urlopen(url + "/readyz").close()
            raise RuntimeError

        def test_good(oci_registry):
            urllib.request.urlopen(oci_registry.url + "/healthz").close()
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*- requests to oci_registry -*",
            "http://127.0.0.1:*",
            "1  GET    /v2/  200  0 bytes in, 2 out",
            "*- requests to oci_registry -*",
            "1  GET    /readyz  200*",
            "*- requests to oci_registry_factory -*",
            "no requests",
            "PUT -> answer(503) (struck 0 of 0)",
        ]
    )
    result.stdout.no_fnmatch_line("*healthz*")


def test_several_processes(pytester: pytest.Pytester) -> None:
    """pytest-xdist's processes do not disturb each other."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_it(oci_registry, oci_registry_module, number):
            assert oci_registry.repositories() == []
            oci_registry.push_image("app:1")
            oci_registry_module.push_image(f"app:{number}")
            assert str(number) in oci_registry_module.tags("app")
    """)
    passes(pytester, 20, "-n", "2")


def test_asynchronous_tests(pytester: pytest.Pytester) -> None:
    """Tests in an event loop, asyncio's or uvloop's, use the same fixture."""
    pytester.makepyfile("""
        import anyio, httpx, pytest

        @pytest.fixture(params=[False, True])
        def anyio_backend(request):
            return "asyncio", {"use_uvloop": request.param}

        @pytest.mark.anyio
        async def test_it(oci_registry):
            image = oci_registry.push_image("app:1")
            async with httpx.AsyncClient(base_url=oci_registry.url, trust_env=False) as http:
                assert (await http.get("/v2/app/manifests/1")).content == image.content
            await anyio.sleep(0)
    """)
    passes(pytester, 2)


LOG = """
import logging, urllib.request
import structlog
from registry import testing


def ask(oci):
    urllib.request.urlopen(oci.url + "/v2/").close()


def damage(oci):
    oci.push_blob("app", b"x")
    digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    next(oci.directory.rglob(digest[7:])).unlink()
    try:
        ask_for = f"{oci.url}/v2/app/blobs/{digest}"
        urllib.request.urlopen(ask_for)
    except urllib.error.HTTPError:
        pass
"""


def test_output_is_left_alone(pytester: pytest.Pytester) -> None:
    """The registry writes nothing to a test's output, and nothing but warnings to Python's logging."""
    pytester.makepyfile(
        LOG
        + """
def test_good(oci_registry, capfd, caplog):
    caplog.set_level("INFO")
    ask(oci_registry)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []

def test_bad(capfd, caplog):
    with testing.serve(store="filesystem") as oci:
        damage(oci)
    assert capfd.readouterr() == ("", "")
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    assert {record.name.partition(".")[0] for record in caplog.records} == {"registry"}
"""
    )
    passes(pytester, 2)


def test_structlog_belongs_to_others(pytester: pytest.Pytester) -> None:
    """A project's use of structlog, configured or not, before or meanwhile, is neither changed nor used."""
    pytester.makepyfile(
        LOG
        + """
def test_unconfigured(oci_registry, capfd):
    assert not structlog.is_configured()
    ask(oci_registry)
    structlog.get_logger().info("mine")
    assert "mine" in capfd.readouterr().out

def test_captured(oci_registry, capfd):
    with structlog.testing.capture_logs() as lines:
        ask(oci_registry)
        structlog.get_logger().info("mine")
    assert [line["event"] for line in lines] == ["mine"]
    ask(oci_registry)
    assert capfd.readouterr() == ("", "")

def test_configured_meanwhile(capfd):
    lines = []
    def keep(logger, method, event):
        lines.append(event["event"])
        raise structlog.DropEvent
    with testing.serve(store="filesystem") as oci:
        structlog.configure(processors=[keep])
        ask(oci)
        damage(oci)
        structlog.get_logger().info("mine")
    with testing.serve() as oci:
        ask(oci)
    assert structlog.get_config()["processors"] == [keep]
    assert lines == ["mine"]
    assert capfd.readouterr() == ("", "")
"""
    )
    passes(pytester, 3)
