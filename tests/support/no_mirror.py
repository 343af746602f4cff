"""A study without MLflow."""


class NoMirror:
    """MLflow left out."""

    def __init__(self, *_: object) -> None: ...

    def start(self, say: object, counting: bool) -> None: ...

    def leave(self) -> None: ...

    def stop(self) -> str:
        return "MLflow: none"
