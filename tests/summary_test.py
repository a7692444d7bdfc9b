"""Tests of summary.py."""

import unittest

import summary

DOCTEST = "[doctest] test cases:   7 |   5 passed | 2 failed | 1 skipped\n"


class Summary(unittest.TestCase):
    def test_doctest_cases_are_counted_and_filtered_ones_are_not(self):
        self.assertEqual(summary.count("FAIL", "noise\n" + DOCTEST), (5, 2, 0))
        coloured = DOCTEST.replace("5 passed", "\x1b[0;32m5 passed\x1b[0m")
        self.assertEqual(summary.count("FAIL", coloured), (5, 2, 0))
        self.assertEqual(summary.count("FAIL", DOCTEST + DOCTEST), (10, 4, 0))

    def test_python_cases_are_counted(self):
        self.assertEqual(summary.count("OK", "Ran 8 tests in 0.1s\n\nOK\n"), (8, 0, 0))
        self.assertEqual(summary.count("OK", "Ran 1 test in 0.1s\n\nOK (skipped=1)\n"), (0, 0, 1))
        text = "Ran 8 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=3)\n"
        self.assertEqual(summary.count("FAIL", text), (2, 3, 3))

    def test_a_crash_counts_as_a_failure_whatever_was_printed(self):
        self.assertEqual(summary.count("FAIL", ""), (0, 1, 0))
        self.assertEqual(summary.count("TIMEOUT", "half a li"), (0, 1, 0))
        self.assertEqual(summary.count("ERROR", DOCTEST.replace("2 failed", "0 failed")),
                         (5, 1, 0))
        self.assertEqual(summary.count("FAIL", "Ran 8 tests in 0.1s\n\nOK\n"), (8, 1, 0))

    def test_what_tells_of_a_failure_is_found_among_the_rest(self):
        noise = [f"line {i}" for i in range(500)]
        noise[200] = "a_test.cpp:9: ERROR: CHECK( no ) is NOT correct!"
        told = list(summary.telling("\n".join(noise)))
        self.assertIn(noise[200], told)
        self.assertIn("line 211", told)
        self.assertIn("line 499", told)
        self.assertNotIn("line 300", told)
        self.assertLess(len(told), 60)
        noise[200] = "WARNING: ThreadSanitizer: data race (pid=1)"
        self.assertIn("line 259", list(summary.telling("\n".join(noise))))

    def test_a_suite_without_a_count_is_one_case(self):
        self.assertEqual(summary.count("OK", "all is well"), (1, 0, 0))
        self.assertEqual(summary.count("SKIP", ""), (0, 0, 1))

    def test_the_last_line_sums_up_and_nothing_at_all_is_no_success(self):
        text, fine = summary.show(["gcc model 5 0 0 1.0", "clang exec 7 0 2 1.0"])
        self.assertEqual(text.splitlines()[-1], "12 passed, 0 failed")
        self.assertTrue(fine)
        text, fine = summary.show(["gcc model 5 1 0 1.0"], ["== model: FAIL", "why"])
        self.assertEqual(text.splitlines()[-2:], ["why", "5 passed, 1 failed"])
        self.assertIn("FAILED", text)
        self.assertFalse(fine)
        self.assertEqual(summary.show([]), (summary.show([])[0], False))


if __name__ == "__main__":
    unittest.main()
