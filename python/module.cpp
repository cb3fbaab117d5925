/// `import rtmdl`: rtmdl::Runtime for Python. Arrays go in without a copy, results come out as NumPy arrays; the
/// interpreter's lock is not held while anything waits.

#include <rtmdl/error.h>
#include <rtmdl/runtime.h>

#include <pybind11/chrono.h>
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace py = pybind11;
using namespace rtmdl;

namespace {

using TaskRef = std::variant<int, std::string>;

/// Lets go of the array where its job ends, which is another thread.
std::shared_ptr<const void> owner_of(const py::object& array) {
  return {new py::object(array), [](const void* held) {
            const py::gil_scoped_acquire lock;
            delete static_cast<const py::object*>(held);
          }};
}

std::optional<ElementType> type_of(const py::dtype& type) {
  const auto size = type.itemsize();
  switch (type.kind()) {
    case 'f':
      return size == 2   ? ElementType::f16
             : size == 4 ? ElementType::f32
             : size == 8 ? std::optional(ElementType::f64)
                         : std::nullopt;
    case 'u':
      return size == 1   ? ElementType::u8
             : size == 2 ? ElementType::u16
             : size == 4 ? ElementType::u32
                         : ElementType::u64;
    case 'i':
      return size == 1   ? ElementType::i8
             : size == 2 ? ElementType::i16
             : size == 4 ? ElementType::i32
                         : ElementType::i64;
    case 'b': return ElementType::boolean;
    default: return std::nullopt;
  }
}

/// uint8 arrays of 2 or 3 dimensions are pictures (rows may be apart), all others tensors.
Input input_of(const py::array& array, std::int64_t tag, bool restart) {
  const auto type = type_of(array.dtype());
  if (!type || array.dtype().byteorder() == '>')
    throw py::type_error("an array of numbers in this machine's byte order is needed");
  Input in;
  if (*type == ElementType::u8 && (array.ndim() == 2 || array.ndim() == 3)) {
    const auto channels = array.ndim() == 3 ? array.shape(2) : 1;
    const bool packed =
        array.strides(1) == channels && (array.ndim() == 2 || array.strides(2) == 1) && array.strides(0) > 0;
    const py::array held =
        packed ? array : py::array(py::array_t<std::uint8_t, py::array::c_style | py::array::forcecast>(array));
    in = Input::picture(static_cast<const std::uint8_t*>(held.data()), static_cast<int>(held.shape(1)),
                        static_cast<int>(held.shape(0)), static_cast<int>(channels),
                        static_cast<std::size_t>(held.strides(0)), owner_of(held));
  } else {
    const py::array held = py::array::ensure(array, py::array::c_style);
    const std::vector<std::int64_t> shape(held.shape(), held.shape() + held.ndim());
    in = Input::tensor(held.data(), *type, shape, owner_of(held));
  }
  in.tag = tag;
  in.restart = restart;
  return in;
}

template <typename T>
py::array_t<T> copied(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::array_t<float> boxes_of(const Result& r) {
  py::array_t<float> out({static_cast<py::ssize_t>(r.boxes.size()), py::ssize_t{6}});
  auto a = out.mutable_unchecked<2>();
  for (py::ssize_t i = 0; i < a.shape(0); ++i) {
    const Box& b = r.boxes[static_cast<std::size_t>(i)];
    const float row[] = {b.x0, b.y0, b.x1, b.y1, b.score, static_cast<float>(b.label)};
    for (py::ssize_t k = 0; k < 6; ++k) a(i, k) = row[k];
  }
  return out;
}

py::array_t<float> lines_of(const Result& r) {
  py::array_t<float> out({static_cast<py::ssize_t>(r.lines.size()), py::ssize_t{5}});
  auto a = out.mutable_unchecked<2>();
  for (py::ssize_t i = 0; i < a.shape(0); ++i) {
    const LineSegment& l = r.lines[static_cast<std::size_t>(i)];
    const float row[] = {l.x0, l.y0, l.x1, l.y1, l.score};
    for (py::ssize_t k = 0; k < 5; ++k) a(i, k) = row[k];
  }
  return out;
}

py::object mask_of(const Result& r) {
  if (r.mask.empty()) return py::none();
  return py::array_t<std::uint8_t>({r.mask_height, r.mask_width}, r.mask.data());
}

/// A job that is over, with its result.
struct Output {
  std::string task, variant;
  std::uint64_t job = 0;
  std::int64_t tag = 0;
  JobOutput out;
};

class Future {
 public:
  Future(std::string task, std::int64_t tag, std::future<JobOutput> answer)
      : task_(std::move(task)), tag_(tag), answer_(answer.share()) {}
  [[nodiscard]] bool done() const { return answer_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  [[nodiscard]] Output result(std::optional<double> timeout) const {
    {
      const py::gil_scoped_release unlocked;
      if (!timeout) answer_.wait();
      else static_cast<void>(answer_.wait_for(std::chrono::duration<double>(*timeout)));
    }
    if (!done()) {
      PyErr_SetString(PyExc_TimeoutError, "the job is not over");
      throw py::error_already_set();
    }
    return {task_, answer_.get().variant, answer_.get().job, tag_, answer_.get()};
  }

 private:
  std::string task_;
  std::int64_t tag_;
  std::shared_future<JobOutput> answer_;
};

class PyRuntime {
 public:
  PyRuntime(const std::filesystem::path& tasks, const std::optional<std::filesystem::path>& workspace, bool realtime,
            py::object on_result, py::object on_message, std::vector<std::string> without)
      : on_result_(std::move(on_result)), on_message_(std::move(on_message)) {
    RuntimeOptions o;
    o.workspace = workspace.value_or(std::filesystem::path());
    o.realtime = realtime;
    o.without = std::move(without);
    o.urgent_results = false;  // Python code takes its time: it must not keep tasks waiting
    if (!on_result_.is_none()) o.on_result = [this](const JobResult& job) { deliver(job); };
    if (!on_message_.is_none())
      o.on_message = [this](const std::string& text) {
        const py::gil_scoped_acquire lock;
        on_message_(text);
      };
    const py::gil_scoped_release unlocked;
    box_ = std::make_unique<Runtime>(tasks, o);
    for (int t = 0; t < box_->tasks(); ++t) names_.push_back(box_->task(t).name);
    const py::gil_scoped_acquire lock;
    live().insert(this);
  }
  ~PyRuntime() {
    live().erase(this);
    const py::gil_scoped_release unlocked;
    box_.reset();
  }
  /// Before the interpreter ends: later its lock is not to be had, and results are delivered under it.
  static void stop_all() {
    for (PyRuntime* r : std::vector<PyRuntime*>(live().begin(), live().end())) {
      const py::gil_scoped_release unlocked;
      r->box().stop();
    }
  }
  PyRuntime(const PyRuntime&) = delete;
  PyRuntime& operator=(const PyRuntime&) = delete;

  [[nodiscard]] Runtime& box() const { return *box_; }
  [[nodiscard]] int index(const TaskRef& task) const {
    if (const int* i = std::get_if<int>(&task)) {
      static_cast<void>(box_->task(*i));  // throws if there is none
      return *i;
    }
    return box_->find(std::get<std::string>(task));
  }
  [[nodiscard]] Future request(const TaskRef& task, const py::array& array, std::int64_t tag, bool restart) {
    const int i = index(task);
    const RunningTask info = box_->task(i);
    const Input in = input_of(array, tag, restart);
    const py::gil_scoped_release unlocked;
    return {info.name, tag, box_->request(i, in)};
  }
  void attach(const TaskRef& task, const py::object& source) {
    const int i = index(task);
    if (source.is_none()) {
      const py::gil_scoped_release unlocked;
      return box_->attach(i);
    }
    const auto iterator = std::shared_ptr<py::object>(new py::object(py::iter(source)), [](py::object* held) {
      const py::gil_scoped_acquire lock;
      delete held;
    });
    const py::gil_scoped_release unlocked;
    box_->attach(i, [iterator](Input& in) {
      const py::gil_scoped_acquire lock;
      try {
        const py::object item = py::reinterpret_steal<py::object>(PyIter_Next(iterator->ptr()));
        if (!item && PyErr_Occurred()) throw py::error_already_set();
        if (item) in = input_of(py::cast<py::array>(item), 0, false);
        return static_cast<bool>(item);
      } catch (py::error_already_set& e) {
        e.discard_as_unraisable("rtmdl: source");
      } catch (const std::exception& e) {
        PyErr_WarnEx(PyExc_RuntimeWarning, e.what(), 1);
        PyErr_Clear();
      }
      return false;
    });
  }

 private:
  /// Under the interpreter's lock.
  static std::set<PyRuntime*>& live() {
    static std::set<PyRuntime*> all;
    return all;
  }

  void deliver(const JobResult& job) {
    const py::gil_scoped_acquire lock;
    Output out{names_[static_cast<std::size_t>(job.task)],
               std::string(job.variant),
               job.job,
               job.tag,
               {job.job, std::string(job.variant), job.end, job.late, job.release, job.finish,
                job.result ? *job.result : Result{}}};
    try {
      on_result_(std::move(out));
    } catch (py::error_already_set& e) {
      e.discard_as_unraisable("rtmdl: on_result");
      throw;  // counted
    }
  }

  py::object on_result_, on_message_;
  std::vector<std::string> names_;
  std::unique_ptr<Runtime> box_;
};

std::string end_name(JobEnd end) {
  return end == JobEnd::completed ? "completed" : end == JobEnd::dropped ? "dropped" : "failed";
}

py::dict statistics_of(const PyRuntime& r) {
  const Statistics s = r.box().statistics();
  py::dict tasks;
  for (const TaskStatistics& t : s.tasks) {
    py::dict d;
    d["variant"] = t.variant;
    d["released"] = t.released;
    d["completed"] = t.completed;
    d["late"] = t.late;
    d["dropped"] = t.dropped;
    d["failed"] = t.failed;
    d["missed"] = t.missed();
    d["pending"] = t.pending;
    d["overran"] = t.overran;
    d["switches"] = t.switches;
    d["refused"] = t.refused;
    d["p50"] = to_seconds(t.p50);
    d["p99"] = to_seconds(t.p99);
    d["max"] = to_seconds(t.max);
    d["joules"] = t.joules;
    d["watts"] = t.watts;
    tasks[t.name.c_str()] = d;
  }
  py::dict energy;
  energy["meter"] = s.energy.meter;
  energy["joules"] = s.energy.joules;
  energy["watts"] = s.energy.watts;
  energy["watts_by_model"] = s.energy.watts_by_model;
  energy["limit"] = s.energy.limit;
  py::dict all;
  all["up"] = to_seconds(s.up);
  all["energy"] = energy;
  all["thrown"] = s.thrown;
  all["tasks"] = tasks;
  return all;
}

}  // namespace

PYBIND11_MODULE(rtmdl, m) {
  m.doc() = "A planned rtmdl task file inside a Python program: arrays in, results out, in time.";
  // Its text is the one line that the command would print; code is its exit status.
  static py::exception<Error> error(m, "Error", PyExc_RuntimeError);
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      py::object value = static_cast<const py::object&>(error)(e.what());
      value.attr("code") = static_cast<int>(e.code());
      PyErr_SetObject(error.ptr(), value.ptr());
    }
  });

  py::module_::import("atexit").attr("register")(py::cpp_function(&PyRuntime::stop_all));

  py::class_<Output>(m, "Output", "A job that is over.")
      .def_readonly("task", &Output::task)
      .def_readonly("variant", &Output::variant)
      .def_readonly("job", &Output::job)
      .def_readonly("tag", &Output::tag)
      .def_property_readonly(
          "end", [](const Output& o) { return end_name(o.out.end); }, "completed, dropped or failed")
      .def_property_readonly("late", [](const Output& o) { return o.out.late; })
      .def_property_readonly(
          "response", [](const Output& o) { return to_seconds(o.out.finish - o.out.release); }, "seconds")
      .def_property_readonly(
          "classes", [](const Output& o) { return copied(o.out.result.classes); },
          "top-k of each element of the batch, best first")
      .def_property_readonly("k", [](const Output& o) { return o.out.result.k; })
      .def_property_readonly("scores", [](const Output& o) { return copied(o.out.result.scores); })
      .def_property_readonly(
          "boxes", [](const Output& o) { return boxes_of(o.out.result); }, "rows of x0, y0, x1, y1, score, label")
      .def_property_readonly(
          "lines", [](const Output& o) { return lines_of(o.out.result); }, "rows of x0, y0, x1, y1, score")
      .def_property_readonly("mask", [](const Output& o) { return mask_of(o.out.result); })
      .def_property_readonly("text", [](const Output& o) { return o.out.result.text; })
      .def("__repr__", [](const Output& o) {
        return "<rtmdl.Output " + o.task + ": " + end_name(o.out.end) + (o.out.late ? ", late>" : ">");
      });

  py::class_<Future>(m, "Future", "A result that will come.")
      .def("done", &Future::done)
      .def("result", &Future::result, py::arg("timeout") = py::none(), "Waits for it, at most `timeout` seconds.");

  py::class_<RunningTask>(m, "Task")
      .def_readonly("name", &RunningTask::name)
      .def_readonly("variant", &RunningTask::variant)
      .def_readonly("processor", &RunningTask::processor)
      .def_readonly("priority", &RunningTask::priority)
      .def_property_readonly(
          "period", [](const RunningTask& t) { return to_seconds(t.period); }, "seconds")
      .def_property_readonly(
          "deadline", [](const RunningTask& t) { return to_seconds(t.deadline); }, "seconds");

  using Unlocked = py::call_guard<py::gil_scoped_release>;
  py::class_<PyRuntime>(m, "Runtime",
                        "Loads the plan that `rtmdl plan TASKS.yaml` left, and runs it. Usable as a context manager.")
      .def(py::init<const std::filesystem::path&, const std::optional<std::filesystem::path>&, bool, py::object,
                    py::object, std::vector<std::string>>(),
           py::arg("tasks"), py::kw_only(), py::arg("workspace") = py::none(), py::arg("realtime") = true,
           py::arg("on_result") = py::none(), py::arg("on_message") = py::none(),
           py::arg("without") = std::vector<std::string>())
      .def_property_readonly("tasks",
                             [](const PyRuntime& r) {
                               std::vector<RunningTask> all;
                               for (int t = 0; t < r.box().tasks(); ++t) all.push_back(r.box().task(t));
                               return all;
                             })
      .def(
          "submit",
          [](const PyRuntime& r, const TaskRef& task, const py::array& array, std::int64_t tag, bool restart) {
            const int i = r.index(task);
            const Input in = input_of(array, tag, restart);
            const py::gil_scoped_release unlocked;
            return r.box().submit(i, in) == Submitted::accepted;
          },
          py::arg("task"), py::arg("array"), py::kw_only(), py::arg("tag") = 0, py::arg("restart") = false,
          "Releases a job at once; its result comes to on_result. uint8 arrays of height x width (x 3, blue first) are "
          "pictures, others tensors; the array must not be changed until then. False: too many are pending, or the "
          "task "
          "does not run.")
      .def("request", &PyRuntime::request, py::arg("task"), py::arg("array"), py::kw_only(), py::arg("tag") = 0,
           py::arg("restart") = false, "The same with a Future.")
      .def("attach", &PyRuntime::attach, py::arg("task"), py::arg("source") = py::none(),
           "Releases the task as its `arrivals` say with what an iterable gives, or with the task file's own data.")
      .def(
          "detach",
          [](const PyRuntime& r, const TaskRef& t) {
            const int i = r.index(t);
            const py::gil_scoped_release unlocked;
            r.box().detach(i);
          },
          py::arg("task"))
      .def(
          "add",
          [](const PyRuntime& r, const TaskRef& t) {
            const int i = r.index(t);
            const py::gil_scoped_release unlocked;
            r.box().add(i);
          },
          py::arg("task"))
      .def(
          "remove",
          [](const PyRuntime& r, const TaskRef& t) {
            const int i = r.index(t);
            const py::gil_scoped_release unlocked;
            r.box().remove(i);
          },
          py::arg("task"))
      .def("statistics", &statistics_of,
           "Every task until now: released = completed + dropped + failed + pending; p50, p99 and max of response "
           "times in seconds.")
      .def(
          "stop", [](const PyRuntime& r) { r.box().stop(); }, Unlocked(),
          "Drops what waits, finishes what is in progress, delivers every result.")
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](const PyRuntime& r, const py::args&) {
        const py::gil_scoped_release unlocked;
        r.box().stop();
      });
}
