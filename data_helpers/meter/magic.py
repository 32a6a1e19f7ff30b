"""The cell magic ``%%cost``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from .measuring import request_meter

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_magic(shell: InteractiveShell) -> None:
    """Give a notebook the cell magic ``%%cost``."""
    from IPython.core.magic import no_var_expand, output_can_be_silenced

    def cost(line: str, cell: str) -> Any:
        """Run a cell, and print what it asked for over the network.

        ``%%cost --plot`` also draws the requests over time.
        """
        __tracebackhide__ = True  # an error shows the cell, not this function
        if line.split() not in ([], ["--plot"]):
            from IPython.core.error import UsageError

            raise UsageError(f"%%cost takes nothing, or --plot, and not {line.strip()!r}")
        with request_meter() as spent:
            value = _run(shell, cell)
        if line.strip():
            spent.plot()
        return value

    magic: Any = cost
    shell.register_magic_function(no_var_expand(output_can_be_silenced(magic)), "cell", "cost")


def _run(shell: InteractiveShell, cell: str) -> Any:
    """Run code as a cell of its own, and return the value of its last expression."""
    __tracebackhide__ = True
    build: Any = shell.compile
    code = shell.transform_cell(cell)
    name = build.cache(code, shell.execution_count, raw_code=cell)
    tree = shell.transform_ast(build.ast_parse(code, filename=name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(build(tree, name, "exec"), shell.user_ns)
    if last:
        return eval(build(ast.Expression(last.value), name, "eval"), shell.user_ns)
    return None
