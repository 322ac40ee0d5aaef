"""`python -m experiments` lists the commands, and `python -m experiments track ...` runs one: as `engram` does."""

from engram import main

if __name__ == "__main__":
    main()
