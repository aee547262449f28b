"""Config text from plain values, in libconfig's notation."""


def libconfig(value, depth=0):
    pad = "  " * depth
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        for char, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
            value = value.replace(char, escaped)
        return f'"{value}"'
    if isinstance(value, dict):
        inner = "".join(f"{pad}  {k} = {libconfig(v, depth + 1)};\n" for k, v in value.items())
        return "{\n" + inner + pad + "}"
    if isinstance(value, (list, tuple)):
        scalar = all(isinstance(v, (str, int)) for v in value)
        inner = ", ".join(libconfig(v, depth) for v in value)
        return f"[ {inner} ]" if scalar else f"( {inner} )"
    raise TypeError(value)


def config_text(settings):
    return "".join(f"{name} = {libconfig(value)};\n" for name, value in settings.items())


def service(name, listen, backends, **more):
    """One service; backends are addresses."""
    as_list = (lambda v: [v] if isinstance(v, str) else list(v))
    return {"name": name, "listen": as_list(listen), "backends": [{"address": b} for b in as_list(backends)], **more}


def merged(base, change):
    """change laid over base, group by group; None takes a setting away."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result
