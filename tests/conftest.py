"""What all tests share: hypothesis draws the same examples every time, and no example fails for being slow."""
from hypothesis import HealthCheck, settings

settings.register_profile("analognas", deadline=None, derandomize=True, max_examples=50,
                          suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("analognas")
