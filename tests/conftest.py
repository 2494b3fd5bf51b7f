# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What holds for all levels: no property test passes or fails by how long it takes."""

from hypothesis import HealthCheck, settings

settings.register_profile("daos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("daos")
