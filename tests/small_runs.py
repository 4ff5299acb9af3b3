"""A small run by the command line, and what it says of mistakes."""

MODEL = "unet-baseline,width=0.05,label=base"

SUITE = "noise,n=3,size=32"


def run(cli, *arguments, out="run"):
    return cli("run", "-m", MODEL, "-s", SUITE, "--out", out, *arguments)


def mistakes(err):
    """What was said to the user; progress bars left out."""
    return [line for line in err.splitlines() if line.startswith(("equibench:", "failed:"))]
