"""`spec.defaults` and `spec.max` of a SandboxClass."""

from typing import Annotated

from pydantic import Field

from soulbox.schema.common import (
    MAX_LIFETIME_SECONDS,
    MAX_TIMEOUT_SECONDS,
    ApiModel,
    Cpu,
    Disk,
    Memory,
)


class ClassDefaults(ApiModel):
    """What a Sandbox or Execution that asks for nothing gets."""

    cpu: Annotated[Cpu, Field(description="CPU limit of the pod, in cores: 250m is a quarter.")] = (
        "250m"
    )
    memory: Annotated[Memory, Field(description="Memory limit (and request) of the pod.")] = "256Mi"
    disk: Annotated[Disk, Field(description="Size of the workspace.")] = "1Gi"
    timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description="Longest wall time of one Execution, in seconds, from its code's start.",
        ),
    ] = 300


class ClassMax(ApiModel):
    """The most a Sandbox or Execution of this class may ask for."""

    cpu: Annotated[Cpu, Field(description="Largest CPU limit of a pod, in cores.")] = "2"
    memory: Annotated[Memory, Field(description="Largest memory limit of a pod.")] = "2Gi"
    disk: Annotated[Disk, Field(description="Largest workspace.")] = "10Gi"
    pids: Annotated[
        int,
        Field(
            ge=1,
            le=32768,
            description=(
                "Most processes and threads at once, of all runs in a sandbox together; beyond"
                " that programs get EAGAIN."
            ),
        ),
    ] = 128
    timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description="Largest timeoutSeconds of an Execution, in seconds.",
        ),
    ] = 86_400
    lifetime_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_LIFETIME_SECONDS,
            description=(
                "Largest lifetimeSeconds of a Sandbox, in seconds; also the lifetime of a Sandbox"
                " that sets none."
            ),
        ),
    ] = 604_800
    output_bytes: Annotated[
        int,
        Field(
            ge=1024,
            le=1_073_741_824,
            description=(
                "Most bytes kept of each of stdout and stderr. Bytes beyond that are counted and"
                " hashed, then dropped; the run continues."
            ),
        ),
    ] = 10_485_760
    concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="Largest maxConcurrentExecutions of a Sandbox.",
        ),
    ] = 16
