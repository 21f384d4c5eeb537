"""`python -m regtopk_bench`."""

from regtopk_bench.cli.main import main

if __name__ == "__main__":
    main()
