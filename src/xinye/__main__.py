import sys

from xinye.cli.main import main

sys.exit(main())
