#pragma once
/// The workspace's memory of what was made and measured: variants, accuracies, times. One SQLite file; keys are hashes
/// of everything that the value depends on (content_key.h), so that nothing is measured twice and nothing stale is
/// found.

#include "profiling/database.h"
#include "scaling/early_exits.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Times at which the machine stood still, not the stage (stalls.h). Not in the samples.
struct StallReport {
  std::int64_t count = 0;  ///< suspect samples
  std::int64_t of = 0;     ///< samples taken, suspects included
  Duration worst{};        ///< the longest time by which one exceeded the median
  [[nodiscard]] double share() const { return of ? static_cast<double>(count) / static_cast<double>(of) : 0; }
};

/// A stage's execution times, in the order measured. At most 2000 in all.
struct StageTimes {
  std::vector<Duration> alone;  ///< nothing else ran
  std::vector<Duration> busy;   ///< another model ran on the other cores, and caches were cold
  StallReport stalls;
  std::int64_t memory = 0;  ///< bytes that became resident when the model was loaded (of an infer stage)
  double cores_used = 0;    ///< that an infer stage kept busy while alone, on average; 0: not known
  double watts = 0;         ///< metered: drawn beyond idle while it runs; 0: not known. Stored as StageEnergy
};

/// Of a stage, metered.
struct StageEnergy {
  double joules = 0;  ///< of one run, beyond what the box draws idle; 0: the meter could not tell
  Duration lasts{};   ///< one run meanwhile
  [[nodiscard]] double watts() const { return lasts > Duration{} ? joules / to_seconds(lasts) : 0; }
};

/// A variant as the store keeps it. `location` is told apart by the caller: the store moves with its workspace.
struct StoredVariant {
  std::string id, location, content, precision, note;
  std::string recipe;  ///< of those in StoredFamily::done, what made it
  double width = 1, depth = 1, resolution = 1;
  std::int64_t bytes = 0;
  double accuracy = 1, accuracy_loss = 0;
  Duration median{};
  std::map<std::string, std::vector<std::int64_t>> shapes;
  EarlyExits exits{};
};

struct StoredFamily {
  std::vector<StoredVariant> variants;
  std::vector<std::string> refused;
  std::vector<std::string> done;  ///< what was tried to its end, in this order; caller's words, without newlines
  std::string layout;             ///< layout_text() of what the variants share; empty: not known
  std::string settled;  ///< which variants' files are there, and how (settle_family.h); empty: as they were made
};

/// What runs showed of one way to run a task (planning/model_correction.h): stage times job by job.
struct StoredRunTimes {
  std::string key, what;                      ///< `what` is for people who look into the file
  std::vector<std::vector<Duration>> stages;  ///< equally many of each
};
/// And of a processor.
struct StoredSpeed {
  std::string key, what;
  double factor = 1;
  std::int64_t stages = 0;
  Duration dispatch{}, dispatch_p90{};
  std::int64_t dispatches = 0;
  double moment_products = 0, moment_weights = 0;  ///< over moment_pairs pairs (planning/correlation.h)
  std::int64_t moment_pairs = 0;
};
/// And of the machine's stalls.
struct StoredStalls {
  std::string key, what;
  double seconds = 0, count = 0;
  std::vector<std::vector<Duration>> lasting;  ///< equally many processors each
};

/// One thread at a time; several processes may use one file. Each put is durable and whole, or throws and leaves
/// nothing.
class Store {
 public:
  /// Opens or creates. Throws Error(bad_input): damaged, not a profile store, written by a newer version, disk full.
  explicit Store(const std::filesystem::path& file);

  [[nodiscard]] std::optional<StoredFamily> family(const std::string& key);
  void put_family(const std::string& key, const std::string& task, const StoredFamily& family);
  /// Of the variants of all other families.
  [[nodiscard]] std::vector<std::string> locations_except(const std::vector<std::string>& keys);

  [[nodiscard]] std::optional<double> accuracy(const std::string& key);
  void put_accuracy(const std::string& key, double accuracy);

  [[nodiscard]] std::optional<StageTimes> times(const std::string& key);
  /// `what` is for people who look into the file: "faces int8 infer cpu 1 thread".
  void put_times(const std::string& key, const std::string& what, const StageTimes& times);

  [[nodiscard]] std::optional<StageEnergy> energy(const std::string& key);
  void put_energy(const std::string& key, const std::string& what, const StageEnergy& energy);

  /// How many times as long a stage takes beside a certain other one as alone.
  [[nodiscard]] std::optional<double> slow_down(const std::string& key);
  void put_slow_down(const std::string& key, const std::string& what, double factor);

  /// Where a model is cut, one list of places (LoadRequest::cuts) for each number of segments; none if it is not worth
  /// it. Nothing if that is not known.
  [[nodiscard]] std::optional<std::vector<std::vector<int>>> segmentations(const std::string& key);
  void put_segmentations(const std::string& key, const std::string& what,
                         const std::vector<std::vector<int>>& segmentations);

  /// Boxes on each frame of a task's stream (detection_counts.h).
  [[nodiscard]] std::optional<std::vector<std::uint8_t>> detections(const std::string& key);
  void put_detections(const std::string& key, const std::string& what, const std::vector<std::uint8_t>& counts);

  /// Throw Error(bad_input) on an entry that makes no sense; the caller goes on without it.
  [[nodiscard]] std::optional<StoredRunTimes> run_times(const std::string& key);
  [[nodiscard]] std::optional<StoredSpeed> speed(const std::string& key);
  /// All or none; entries of the same keys are replaced.
  [[nodiscard]] std::optional<StoredStalls> stalls(const std::string& key);
  void put_corrections(const std::vector<StoredRunTimes>& times, const std::vector<StoredSpeed>& speeds,
                       const std::vector<StoredStalls>& stalls = {});

 private:
  Database database_;
};

}  // namespace rtmdl
