"""``python -m stylepipe`` is ``stylepipe``."""

from stylepipe.cli.main import main

if __name__ == "__main__":
    main()
