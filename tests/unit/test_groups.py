"""What the suite stands on: tests of a group run in one worker, which makes what they share once."""

import pytest


@pytest.mark.xdist_group("shared")
@pytest.mark.skipif("not config.getoption('loadgroup', False)", reason="only `--dist loadgroup` knows groups")
def test_a_group_of_tests_is_seen(request: pytest.FixtureRequest) -> None:
    # pytest 9.2 hid from pytest-xdist 3.8 what it marks a test's group with, and each worker made everything.
    assert request.node.nodeid.endswith("@shared")
