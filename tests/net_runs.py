"""Small networks whose runs can be damaged, parted and stopped."""

CASES = 3

OPTIONS = ("-m", "net.py:base", "-m", "net.py:other", "-s", f"noise,n={CASES},size=16")
OPTIONS = (*OPTIONS, "--shifts", "random:n=40,max=8")

NETS = "def base():\n    return lambda x: x * x\ndef other():\n    return lambda x: 2 * x * x\n"


def finish(cli, *options, out="run"):
    return cli("run", *OPTIONS, *options, "--out", out)


COMMANDS = {
    "table": ("table", "run"),
    "report": ("report", "run", "-o", "out", "--only", "tables"),
    "check": ("check", "run", "--against", "run"),
    "check --update": ("check", "run", "--against", "new.json", "--update"),
    "compare": ("compare", "run", "run"),
    "compare --against": ("compare", "run", "--against", "net:base"),
    "run": ("run", *OPTIONS, "--out", "run"),
}


class Stop:
    """Interrupts a noise suite at a case."""

    def __init__(self, monkeypatch, case):
        from equibench.suites.noise import Noise

        load = Noise.load

        def stopping(suite, name):
            if name == case:
                raise KeyboardInterrupt
            return load(suite, name)

        monkeypatch.setattr(Noise, "load", stopping)
