"""The names of the programs that this process compiles, in order."""

import jax

compiled = []


def record_compilation(event, seconds, **details):
    if "backend_compile" in event:
        compiled.append(details["fun_name"])


jax.monitoring.register_event_duration_secs_listener(record_compilation)
