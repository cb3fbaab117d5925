"""The Python module as a program uses it. Argument: a planned task file with `clothes` and `faces`."""
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
import unittest
import weakref

import numpy as np
import rtmdl

TASKS = sys.argv.pop(1)


def garment(seed):
    return np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)


def photo():
    return np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)


@contextlib.contextmanager
def more_urgent_than_the_runtime():
    """Else a worker that is woken on this thread's core is done before the thread goes on."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(95))
    except PermissionError:
        pass
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Module(unittest.TestCase):
    def test_answers(self):
        with rtmdl.Runtime(TASKS, on_message=lambda text: None) as box:
            self.assertEqual([t.name for t in box.tasks], ["clothes", "faces"])
            self.assertEqual(box.tasks[0].period, 0.02)
            first = box.request("clothes", garment(1)).result(timeout=20)
            again = box.request("clothes", garment(1), tag=7).result(timeout=20)
            self.assertEqual(first.end, "completed")
            self.assertEqual(again.tag, 7)
            np.testing.assert_array_equal(first.classes, again.classes)
            self.assertEqual(first.classes.shape, (1,))
            self.assertGreater(first.response, 0)
            found = box.request("faces", photo()).result(timeout=20)
            self.assertEqual(found.boxes.shape[1], 6)
        counts = box.statistics()["tasks"]["clothes"]
        self.assertEqual(counts["released"], counts["completed"] + counts["dropped"] + counts["failed"])

    def test_arrays_that_are_not_packed_are_the_same_pictures(self):
        with rtmdl.Runtime(TASKS, on_message=lambda text: None) as box:
            whole = photo()
            part = whole[100:400, 50:350]  # rows are apart
            mirrored = whole[:, ::-1]
            for view in (part, mirrored):
                a = box.request("faces", view).result(timeout=20)
                b = box.request("faces", np.ascontiguousarray(view)).result(timeout=20)
                self.assertEqual(a.end, "completed")
                np.testing.assert_array_equal(a.boxes, b.boxes)

    def test_callbacks_come_once_a_job_while_python_goes_on(self):
        seen, enough = [], threading.Event()

        def on_result(out):
            seen.append((out.task, out.job, out.end))
            if len(seen) >= 20:
                enough.set()

        with rtmdl.Runtime(TASKS, on_result=on_result, on_message=lambda text: None) as box:
            accepted = 0
            deadline = time.monotonic() + 60
            while not enough.is_set() and time.monotonic() < deadline:
                accepted += box.submit("clothes", garment(accepted))
                sum(range(1000))
                time.sleep(0.002)
        self.assertEqual(len(seen), accepted)
        self.assertEqual(len(set(seen)), accepted)

    def test_sources(self):
        ends = []
        with rtmdl.Runtime(TASKS, on_result=lambda o: ends.append(o.task), on_message=lambda text: None) as box:
            box.attach("clothes", (garment(i) for i in range(5)))
            box.attach("faces")
            deadline = time.monotonic() + 60
            while (ends.count("clothes") < 5 or ends.count("faces") < 3) and time.monotonic() < deadline:
                time.sleep(0.01)
        self.assertEqual(ends.count("clothes"), 5)
        self.assertGreaterEqual(ends.count("faces"), 3)

    def test_holds_arrays_no_longer_than_their_jobs(self):
        with rtmdl.Runtime(TASKS, on_message=lambda text: None) as box:
            array = garment(1)
            gone = weakref.ref(array)
            box.request("clothes", array).result(timeout=20)
            del array
            deadline = time.monotonic() + 20
            while gone() is not None and time.monotonic() < deadline:
                gc.collect()
                time.sleep(0.01)
            self.assertIsNone(gone())

    def test_leaving_and_joining(self):
        with rtmdl.Runtime(TASKS, without=["faces"], on_message=lambda text: None) as box:
            self.assertFalse(box.submit("faces", photo()))
            box.add("faces")
            self.assertEqual(box.request("faces", photo()).result(timeout=20).end, "completed")
            box.remove("faces")
            self.assertFalse(box.submit("faces", photo()))

    def test_errors(self):
        with self.assertRaises(rtmdl.Error) as missing:
            rtmdl.Runtime("/nowhere/tasks.yaml")
        self.assertEqual(missing.exception.code, 2)
        with rtmdl.Runtime(TASKS, on_message=lambda text: None) as box:
            with self.assertRaisesRegex(rtmdl.Error, "there is no task 'cats': there are clothes, faces"):
                box.submit("cats", garment(1))
            with self.assertRaises(TypeError):
                box.submit("clothes", np.array(["text"]))
            self.assertEqual(box.request("clothes", np.zeros((3, 3), np.float32)).result(timeout=20).end, "failed")

    def test_futures(self):
        with rtmdl.Runtime(TASKS, on_message=lambda text: None) as box:
            future = box.request("clothes", garment(1))
            first, second = future.result(timeout=20), future.result()
            self.assertTrue(future.done())
            np.testing.assert_array_equal(first.classes, second.classes)
            self.assertEqual(first.job + 1, box.request("clothes", garment(1)).result().job)
            self.assertEqual(first.variant, box.tasks[0].variant)
            with self.assertRaises(TypeError):
                box.request("clothes", np.zeros((1, 1, 28, 28), ">f4"))
            frame = photo()
            with self.assertRaises(TimeoutError), more_urgent_than_the_runtime():
                for _ in range(20):  # on a machine that stands still for a moment one may be done
                    box.request("faces", frame).result(timeout=0)

    def test_a_source_that_raises_ends(self):
        def source():
            yield garment(1)
            raise ValueError("mine")

        raised, ends = [], []
        old, sys.unraisablehook = sys.unraisablehook, lambda u: raised.append(u.exc_value)
        try:
            with rtmdl.Runtime(TASKS, on_result=lambda o: ends.append(o.end), on_message=lambda text: None) as box:
                box.attach("clothes", source())
                deadline = time.monotonic() + 20
                while not (raised and ends) and time.monotonic() < deadline:
                    time.sleep(0.01)
        finally:
            sys.unraisablehook = old
        self.assertEqual(str(raised[0]), "mine")
        self.assertEqual(len(ends), 1)

    def test_a_script_may_end_without_stopping(self):
        script = (
            "import rtmdl, sys, time\n"
            "box = rtmdl.Runtime(sys.argv[1], on_result=lambda o: None, on_message=lambda t: None)\n"
            "box.attach('clothes'); box.attach('faces'); time.sleep(0.3); print('end')\n"
        )
        for _ in range(3):
            done = subprocess.run([sys.executable, "-c", script, TASKS], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "end\n", ""))

    def test_a_callback_that_raises_stops_nothing(self):
        def on_result(out):
            raise ValueError("mine")

        old, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            with rtmdl.Runtime(TASKS, on_result=on_result, on_message=lambda text: None) as box:
                for i in range(3):
                    box.request("clothes", garment(i)).result(timeout=20)
            self.assertEqual(box.statistics()["thrown"], 3)
        finally:
            sys.unraisablehook = old


if __name__ == "__main__":
    unittest.main()
