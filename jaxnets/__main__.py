"""`python -m jaxnets`: see `jaxnets.command_line`."""

from jaxnets.command_line import main

if __name__ == "__main__":
    main()
