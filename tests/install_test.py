"""Both programs are installed where every user's shell looks for them."""

import json
import pathlib
import subprocess
import sys
import unittest

BUILD = sys.argv.pop(1)


class Install(unittest.TestCase):
    def test_the_programs_go_into_the_folder_for_everybodys_programs(self):
        # Debian has sbin in root's PATH alone, and README starts shoald by its name.
        plan = subprocess.run(["meson", "introspect", "--installed", BUILD], check=True,
                              capture_output=True, text=True).stdout
        installed = {(path.name, path.parent.name)
                     for path in map(pathlib.Path, json.loads(plan).values())}
        self.assertLessEqual({("shoal", "bin"), ("shoald", "bin")}, installed)


if __name__ == "__main__":
    unittest.main()
