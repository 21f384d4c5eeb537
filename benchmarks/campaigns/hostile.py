"""Values that nobody would choose."""

NO_NUMBERS = (
    *("abc", "nan", "NaN", "inf", "-inf", "1e400", "-1e400", "0x10", "1 2", "true", "None", "½"),
    *("[1]", "-1", "1e", "--", " ", "\n", "1\n2", "\x1b[31m1", "~", "1.5.2", "99999x", "🦊"),
)
NUMBERS = (
    *("0", "-0", "0.5", "1e-9", "1e-320", "1e308", "1e18", "9" * 400, "99999999999999999999"),
    *("2147483648", "9223372036854775807", "9223372036854775808", "1_000", "١٢", " 1 ", "+1", "1."),
)
TEXTS = (
    *(
        "",
        " ",
        "x",
        "~nouser/x",
        "~",
        ".",
        "..",
        "/",
        "-",
        "--",
        "/dev/null",
        "/dev/full",
        "/etc/passwd",
    ),
    *("/nonexistent/x", "x" * 300, "x" * 5000, "x/" * 3000, "a\nb", "\n", "\x1b[31mred", "\udcff"),
    *(
        "🦊",
        "%s",
        "{}",
        "[bold]",
        "[/]",
        "https://x",
        "/proc/self/environ",
        "/root/x",
        "a\tb",
        "'",
        '"',
    ),
)
ALGORITHMS = (
    *(":", ",", "topk,", "topk:", "topk:topk", "topk:x=1", "regtopk:mu=", "regtopk:mu=nan", "a.b"),
    *("regtopk:mu=0", "regtopk:mu=-1", "regtopk:mu=1e-320", "regtopk:mu=1e308", "regtopk:q=1e400"),
    *("regtopk:q=0", "regtopk:denominator=x", "regtopk:mu=4,q=1e8,", "os.path", "builtins.print"),
    *("torch.nn.Linear", "..", ".x", "x.", "os.system:command=true", "randomk:error_feedback=2"),
)
NO_SWITCH = ("2", "x", "on", "nan", "-1", "None", "[1]", "\n", "🦊")
NUMERIC = ("k", "at", "image_size", "processes", "threads")
"""Numbers, though not by default."""

PARTITIONS = (
    *("dirichlet:", "dirichlet:0", "dirichlet:nan", "dirichlet:inf", "dirichlet:1e-300"),
    *("dirichlet:1e300", "dirichlet:-1", "iid:1", "shards:2", "dirichlet:0.1:2"),
)
