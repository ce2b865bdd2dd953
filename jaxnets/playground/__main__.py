"""`python -m jaxnets.playground`."""

from jaxnets.playground import main

raise SystemExit(main())
