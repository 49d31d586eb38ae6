"""The suite of tests/shared/test_log.py, on the images of the compose file."""

import pytest

from tests.shared.test_log import *  # noqa: F403 - every test, and what they need


pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]
