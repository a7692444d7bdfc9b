"""packaging/demo.sh, as README shows it."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Built already: the demo's own ninja has nothing to do.
BUILD = pathlib.Path(os.environ["SHOALD"]).parents[1]


class DemoTest(unittest.TestCase):
    def demo(self, build):
        # From a folder of its own: what is given is not taken from there.
        with tempfile.TemporaryDirectory() as folder:
            result = subprocess.run(
                [ROOT / "packaging" / "demo.sh", "--devices", "2", "--max-tokens", "5",
                 "--temperature", "0", "--build", str(build)],
                cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("is ready on 2 devices", result.stderr)
        return result.stdout

    def test_the_build_folder_may_be_named_from_the_root_of_the_file_system_or_of_the_sources(self):
        answers = {self.demo(BUILD), self.demo(os.path.relpath(BUILD, ROOT))}
        self.assertEqual(len(answers), 1)
        self.assertNotEqual(answers.pop().strip(), "")


if __name__ == "__main__":
    unittest.main()
