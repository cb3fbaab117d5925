#pragma once
/// A folder of its own for a test, with fake models, a task file and a workspace in it; removed at the end.

#include "base/atomic_file.h"
#include "task/workspace.h"

#include <rtmdl/error.h>
#include "task/task_file.h"

#include <filesystem>
#include <functional>
#include <string>

#include <stdlib.h>

namespace rtmdl {

class TaskFolder {
 public:
  TaskFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "rtmdl-profiling-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw Error(ErrorCode::internal, "no temporary folder");
    path_ = name;
  }
  ~TaskFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TaskFolder(const TaskFolder&) = delete;
  TaskFolder& operator=(const TaskFolder&) = delete;

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    write_file_atomically(path_ / name, text);
    return path_ / name;
  }
  [[nodiscard]] TaskFile parse(const std::string& text) const { return TaskFile::parse(text, path_ / "tasks.yaml"); }
  [[nodiscard]] Workspace workspace() const { return Workspace(path_ / "tasks.workspace"); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The message of the Error that `work` throws; empty if it throws none.
inline std::string error_of(const std::function<void()>& work, ErrorCode expected = ErrorCode::bad_input) {
  try {
    work();
  } catch (const Error& error) {
    return error.code() == expected ? error.what() : "wrong code: " + std::string(error.what());
  }
  return "";
}

}  // namespace rtmdl
