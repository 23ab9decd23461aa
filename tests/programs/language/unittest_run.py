import io
import unittest

class TestMaths(unittest.TestCase):
    def setUp(self):
        self.n = 2

    def test_add(self):
        self.assertEqual(self.n + 2, 4)

    def test_fails(self):
        self.assertEqual(1, 2)

    @unittest.skip("later")
    def test_skipped(self):
        pass

    def test_raises(self):
        with self.assertRaisesRegex(ValueError, "invalid"):
            int("x")

suite = unittest.defaultTestLoader.loadTestsFromTestCase(TestMaths)
result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
print(result.testsRun, len(result.failures), len(result.errors), len(result.skipped))

# expect:
# 4 1 0 1
