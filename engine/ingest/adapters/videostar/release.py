"""Wordings of questions out of a copy of Video-STaR's templates.py: it is parsed, and nothing of it is run.

Each pool there is a list of texts, or of lambdas that return an f-string of their arguments: {t} or {round(t, 3)},
{round(t*100, 3)} for per cent, {' and '.join(things)} for things one after the other, and {s.replace('[something]', '___')} for a
sentence with gaps. In our wordings these are {time}, {time%}, {objects&} and {template_}.
"""

import ast
from collections.abc import Mapping, Sequence


def pools_of(path: str, data: bytes, kinds: Mapping[str, tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Kind -> wordings. `kinds`: kind -> the pool's name in the file, and our names for a wording's arguments, in their order.

    Raises ValueError, with the line, for a file that has no such pools.
    """
    try:
        tree = ast.parse(data.decode())
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no Python: {str(error).splitlines()[0]}; name the release's templates.py") from None
    lists = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    pools = {}
    for kind, (name, arguments) in kinds.items():
        if name not in lists or not lists[name].elts:
            raise ValueError(f"{path} has no list {name}, for the questions {kind}; name the release's templates.py")
        pools[kind] = tuple(_wording(path, node, arguments) for node in lists[name].elts)
    return pools


def _wording(path: str, node: ast.expr, arguments: Sequence[str]) -> str:
    body, names = node, dict[str, str]()
    if isinstance(node, ast.Lambda):
        body, parameters = node.body, [parameter.arg for parameter in node.args.args]
        if len(parameters) != len(arguments):
            raise ValueError(f"{path} line {node.lineno}: it takes {len(parameters)} values, and {len(arguments)} are known")
        names = dict(zip(parameters, arguments, strict=True))
    parts = body.values if isinstance(body, ast.JoinedStr) else [body]
    return "".join(_part(path, part, names) for part in parts)


def _part(path: str, part: ast.expr, names: Mapping[str, str]) -> str:
    match part:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id=name)) if name in names:
            return f"{{{names[name]}}}"
        case ast.FormattedValue(
            value=ast.Call(func=ast.Name(id="round"), args=[ast.BinOp(left=ast.Name(id=name), right=ast.Constant(value=100)), *_])
        ) if name in names:
            return f"{{{names[name]}%}}"
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="round"), args=[ast.Name(id=name), ast.Constant(value=int())])) if (
            name in names
        ):
            return f"{{{names[name]}}}"
        case ast.FormattedValue(
            value=ast.Call(func=ast.Attribute(value=ast.Constant(value=" and "), attr="join"), args=[ast.Name(id=name)])
        ) if name in names:
            return f"{{{names[name]}&}}"
        case ast.FormattedValue(
            value=ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="replace"),
                args=[ast.Constant(value="[something]"), ast.Constant(value="___")],
            )
        ) if name in names:
            return f"{{{names[name]}_}}"
    raise ValueError(f"{path} line {part.lineno}: {ast.unparse(part)[:60]!r} is no text with plain values; correct or delete it")
