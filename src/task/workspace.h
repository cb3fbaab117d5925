#pragma once
/// The workspace folder: everything that a task file's verbs leave for each other. Safe to delete; the verbs make it
/// anew.

#include "base/context.h"

#include <filesystem>

namespace rtmdl {

class Workspace {
 public:
  /// Opens or creates. Throws Error(bad_input) if the folder was written by a newer version, is not a workspace, or
  /// cannot be written.
  explicit Workspace(std::filesystem::path folder);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path variants() const {
    return folder_ / "variants";
  }  ///< content-addressed ONNX files
  [[nodiscard]] std::filesystem::path store() const {
    return folder_ / "profile.sqlite";
  }  ///< variants, times, accuracies
  [[nodiscard]] std::filesystem::path plan() const { return folder_ / "plan.json"; }
  [[nodiscard]] std::filesystem::path runs() const { return folder_ / "runs"; }  ///< job records, traces, reports

  /// Where a task file's workspace is unless --workspace says otherwise: beside it, NAME.workspace.
  static std::filesystem::path default_folder(const std::filesystem::path& task_file);

 private:
  std::filesystem::path folder_;
};

/// One process at a time makes and measures: what another one runs meanwhile would be in the times, and what one tries
/// and drops may be what the other keeps. Held by the kernel, so that a killed process leaves nothing behind.
class WorkspaceLock {
 public:
  /// Waits for another process, and says so; when the context is stopped, gives up (the caller looks at the context).
  /// On file systems without locks it holds nothing.
  WorkspaceLock(const Workspace& workspace, const Context& context);
  ~WorkspaceLock();
  WorkspaceLock(const WorkspaceLock&) = delete;
  WorkspaceLock& operator=(const WorkspaceLock&) = delete;

 private:
  int file_;
};

}  // namespace rtmdl
