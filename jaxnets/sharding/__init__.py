"""Placement on several devices and processes: meshes, sharding plans, and arrays on them."""

from jaxnets.sharding.mesh import (
    BATCH,
    MEMBERS,
    mesh_of,
    on_each,
    on_each_member,
    shard_batch,
    use_mesh,
)
from jaxnets.sharding.place import (
    from_rows,
    mesh_in,
    place,
    place_like,
    place_rows,
    replicate,
    shardings_of,
    to_host,
    unshard,
)
from jaxnets.sharding.plan import Rule, ShardingPlan
from jaxnets.sharding.processes import agree, differing_processes, leads, spans_processes

__all__ = [
    "BATCH",
    "MEMBERS",
    "Rule",
    "ShardingPlan",
    "agree",
    "differing_processes",
    "from_rows",
    "leads",
    "mesh_in",
    "mesh_of",
    "on_each",
    "on_each_member",
    "place",
    "place_like",
    "place_rows",
    "replicate",
    "shard_batch",
    "shardings_of",
    "spans_processes",
    "to_host",
    "unshard",
    "use_mesh",
]
