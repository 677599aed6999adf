"""`python -m oneshot_rlvr` is the command `oneshot`."""

from oneshot_rlvr.commands.app import main

if __name__ == "__main__":
    main()
