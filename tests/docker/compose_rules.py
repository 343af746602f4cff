"""What a compose file of this project must be, as a list of its faults."""

import re
from collections.abc import Iterator
from typing import Any

# A variable whose name has one of these words gets its value from the user; there is no default for it.
_SECRET = re.compile(r"(?i)token|password|secret")
_REQUIRED = re.compile(r"\$\{\w+:\?[^}]+\}")
_VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}")


def faults(compose: dict[str, Any]) -> list[str]:
    """One sentence for each fault."""
    return [fault for name, service in compose["services"].items() for fault in _of_service(name, service, compose)]


def variables(text: str) -> set[str]:
    """The variables that a compose file is filled with."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {match[1] for match in _VARIABLE.finditer(code)}


def _of_service(name: str, service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"{name}: {port} must be published on 127.0.0.1 alone"
    if service.get("network_mode") or service.get("privileged"):
        yield f"{name} must neither be privileged nor share the machine's network"
    for variable, value in service.get("environment", {}).items():
        if _SECRET.search(variable) and not _REQUIRED.fullmatch(str(value)):
            yield f"{name}: {variable} must be required, without a default"
    if service.get("restart") != "unless-stopped":
        yield f"{name} must be started again if it ends"
    if not service.get("mem_limit"):
        yield f"{name} must have a limit of memory"
    if service.get("init") is not True:
        yield f"{name} must have an init, which reaps what is left of its processes"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield f"{name} must not gain privileges"
    if "build" in service and service.get("cap_drop") != ["ALL"]:
        yield f"{name} needs no capability"
    if service.get("user") in ("root", "0", 0):
        yield f"{name} must not run as root"
    health = service.get("healthcheck", {})
    if health.get("test", ["NONE"])[0] not in ("CMD", "CMD-SHELL") or not {"interval", "timeout", "retries"} <= {
        *health
    }:
        yield f"{name} must have a health check with its times"
    for volume in service.get("volumes", []):
        if "volumes" in compose and volume.partition(":")[0] not in compose["volumes"]:
            yield f"{name}: {volume} must be a volume of the file"
    for needed, how in service.get("depends_on", {}).items():
        if how != {"condition": "service_healthy"}:
            yield f"{name} must wait until {needed} is healthy"
    command = [str(word) for word in service.get("command", [])]
    if command[:1] == ["checked"] and "ray" in command and service["environment"].get("RAY_AUTH_MODE") != "token":
        yield f"{name} must want a token for Ray's jobs"
    if "mlflow" in command and not any(word.startswith("--allowed-hosts=") and "*" not in word for word in command):
        yield f"{name} must answer to its own names alone"
    if _SECRET.search(re.sub(r"--token-file|PAGES_TOKEN|/tmp/token", "", " ".join(command))):
        yield f"{name}: a secret must not be in a command line"
