#include "profiling/store.h"

#include "profiling/exits_text.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::int64_t kSchema = 11;               // PRAGMA user_version; raise with every change below
constexpr std::int64_t kApplication = 0x72746d64;  // PRAGMA application_id: "rtmd"
constexpr std::size_t kMostSamples = 2000;

constexpr const char* kCorrectionTables = R"(
  CREATE TABLE run_times (key TEXT PRIMARY KEY, what TEXT NOT NULL, stages INTEGER NOT NULL, ns BLOB NOT NULL,
    measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
  CREATE TABLE speeds (key TEXT PRIMARY KEY, what TEXT NOT NULL, factor REAL NOT NULL, stages INTEGER NOT NULL,
    dispatch_ns INTEGER NOT NULL, dispatch_p90_ns INTEGER NOT NULL, dispatches INTEGER NOT NULL,
    measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
)";
constexpr const char* kMomentColumns =
    "ALTER TABLE speeds ADD COLUMN moment_products REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE speeds ADD COLUMN moment_weights REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE speeds ADD COLUMN moment_pairs INTEGER NOT NULL DEFAULT 0;";
constexpr const char* kStallTable = R"(
  CREATE TABLE stalls (key TEXT PRIMARY KEY, what TEXT NOT NULL, seconds REAL NOT NULL, count REAL NOT NULL,
    processors INTEGER NOT NULL, ns BLOB NOT NULL, measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
)";
constexpr const char* kCutsTable =
    "CREATE TABLE cuts (key TEXT PRIMARY KEY, what TEXT NOT NULL, places TEXT NOT NULL,"
    " measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);";

constexpr const char* kPairs =
    "ALTER TABLE times ADD COLUMN cores_used REAL NOT NULL DEFAULT 0;"
    "CREATE TABLE slow_downs (key TEXT PRIMARY KEY, what TEXT NOT NULL, factor REAL NOT NULL,"
    " measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);";

constexpr const char* kDetectionsTable =
    "CREATE TABLE detections (key TEXT PRIMARY KEY, what TEXT NOT NULL, counts TEXT NOT NULL,"
    " measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);";

constexpr const char* kExitsColumn = "ALTER TABLE variants ADD COLUMN exits TEXT NOT NULL DEFAULT '';";

constexpr const char* kEnergiesTable =
    "CREATE TABLE energies (key TEXT PRIMARY KEY, what TEXT NOT NULL, joules REAL NOT NULL, ns INTEGER NOT NULL,"
    " measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);";

constexpr const char* kTables = R"(
  CREATE TABLE families (key TEXT PRIMARY KEY, task TEXT NOT NULL, done TEXT NOT NULL DEFAULT '',
    layout TEXT NOT NULL DEFAULT '', settled TEXT NOT NULL DEFAULT '', made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
  CREATE TABLE variants (family TEXT NOT NULL REFERENCES families(key) ON DELETE CASCADE, position INTEGER NOT NULL,
    id TEXT NOT NULL, location TEXT NOT NULL, content TEXT NOT NULL, width REAL NOT NULL, depth REAL NOT NULL,
    resolution REAL NOT NULL, precision TEXT NOT NULL, bytes INTEGER NOT NULL, accuracy REAL NOT NULL,
    accuracy_loss REAL NOT NULL, median_ns INTEGER NOT NULL, shapes TEXT NOT NULL, note TEXT NOT NULL,
    recipe TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (family, position));
  CREATE TABLE refused (family TEXT NOT NULL REFERENCES families(key) ON DELETE CASCADE, position INTEGER NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (family, position));
  CREATE TABLE accuracies (key TEXT PRIMARY KEY, accuracy REAL NOT NULL);
  CREATE TABLE times (key TEXT PRIMARY KEY, what TEXT NOT NULL, alone_ns BLOB NOT NULL, busy_ns BLOB NOT NULL,
    stalls INTEGER NOT NULL, stalls_of INTEGER NOT NULL, stalls_worst_ns INTEGER NOT NULL, memory INTEGER NOT NULL,
    measured TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
)";

/// From each schema to the next, beginning with the first.
constexpr const char* kUpgrades[kSchema - 1] = {
    "ALTER TABLE families ADD COLUMN done TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE variants ADD COLUMN recipe TEXT NOT NULL DEFAULT '';",
    "ALTER TABLE families ADD COLUMN layout TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE families ADD COLUMN settled TEXT NOT NULL DEFAULT '';",
    kCorrectionTables,
    kMomentColumns,
    kStallTable,
    kCutsTable,
    kPairs,
    kDetectionsTable,
    kExitsColumn,
    kEnergiesTable};

/// "input=1,3,224,224;other=1,8"
std::string shapes_text(const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  std::string text;
  for (const auto& [name, shape] : shapes) {
    text += (text.empty() ? "" : ";") + name + '=';
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  }
  return text;
}

std::map<std::string, std::vector<std::int64_t>> parse_shapes(std::string_view text) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    const std::size_t equals = one.rfind('=');
    if (equals == std::string_view::npos) continue;
    std::vector<std::int64_t>& shape = shapes[std::string(one.substr(0, equals))];
    const char* at = one.data() + equals + 1;
    const char* const end = one.data() + one.size();
    while (at < end) {
      std::int64_t dimension = 0;
      at = std::from_chars(at, end, dimension).ptr + 1;
      shape.push_back(dimension);
    }
  }
  return shapes;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

std::vector<std::int64_t> counts(const std::vector<Duration>& times) {
  std::vector<std::int64_t> ns;
  ns.reserve(times.size());
  for (const Duration t : times) ns.push_back(t.count());
  return ns;
}

std::vector<Duration> durations(std::span<const std::int64_t> ns) { return {ns.begin(), ns.end()}; }

}  // namespace

Store::Store(const std::filesystem::path& file) : database_(file) {
  const std::int64_t schema = database_.value("PRAGMA user_version");
  const std::int64_t application = database_.value("PRAGMA application_id");
  const bool empty = database_.value("SELECT count(*) FROM sqlite_master") == 0;
  if (!empty && application != kApplication)
    bad_input(
        fmt::format("{}: a database, but not a profile store; delete it, or name another --workspace", file.string()));
  if (schema > kSchema)
    bad_input(
        fmt::format("{}: the profile store was written by a newer rtmdl (schema {}, this one reads up to {}); update "
                    "rtmdl or name another "
                    "--workspace",
                    file.string(), schema, kSchema));
  Statement check(database_, "PRAGMA quick_check(1)");
  if (check.step() && check.text(0) != "ok")
    bad_input(fmt::format("{}: damaged ({}); delete it to measure anew", file.string(), check.text(0)));
  while (check.step()) {
  }
  database_.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
  if (!empty && schema == kSchema) return;
  Transaction transaction(database_);
  if (!empty) {
    for (std::int64_t from = database_.value("PRAGMA user_version"); from >= 1 && from < kSchema; ++from)
      database_.execute(kUpgrades[from - 1]);
    database_.execute(fmt::format("PRAGMA user_version = {}", kSchema).c_str());
  }
  // Another process may have been faster.
  if (database_.value("SELECT count(*) FROM sqlite_master") == 0) {
    database_.execute(kTables);
    database_.execute(kCorrectionTables);
    database_.execute(kMomentColumns);
    database_.execute(kStallTable);
    database_.execute(kCutsTable);
    database_.execute(kPairs);
    database_.execute(kDetectionsTable);
    database_.execute(kExitsColumn);
    database_.execute(kEnergiesTable);
    database_.execute(
        fmt::format("PRAGMA user_version = {}; PRAGMA application_id = {}", kSchema, kApplication).c_str());
  }
  transaction.commit();
}

std::optional<StoredFamily> Store::family(const std::string& key) {
  Statement known(database_, "SELECT done, layout, settled FROM families WHERE key = ?");
  if (!known.bind(key).step()) return std::nullopt;
  StoredFamily family;
  family.done = lines(known.text(0));
  family.layout = known.text(1);
  family.settled = known.text(2);
  Statement variants(
      database_,
      "SELECT id, location, content, width, depth, resolution, precision, bytes, accuracy, accuracy_loss, median_ns, "
      "shapes, note, recipe, exits FROM variants WHERE family = ? ORDER BY position");
  for (variants.bind(key); variants.step();) {
    StoredVariant v;
    v.id = variants.text(0);
    v.location = variants.text(1);
    v.content = variants.text(2);
    v.width = variants.real(3);
    v.depth = variants.real(4);
    v.resolution = variants.real(5);
    v.precision = variants.text(6);
    v.bytes = variants.integer(7);
    v.accuracy = variants.real(8);
    v.accuracy_loss = variants.real(9);
    v.median = Duration(variants.integer(10));
    v.shapes = parse_shapes(variants.text(11));
    v.note = variants.text(12);
    v.recipe = variants.text(13);
    v.exits = parse_exits(variants.text(14));
    family.variants.push_back(std::move(v));
  }
  Statement refused(database_, "SELECT reason FROM refused WHERE family = ? ORDER BY position");
  for (refused.bind(key); refused.step();) family.refused.push_back(refused.text(0));
  return family;
}

void Store::put_family(const std::string& key, const std::string& task, const StoredFamily& family) {
  Transaction transaction(database_);
  Statement(database_, "DELETE FROM families WHERE key = ?").bind(key).step();
  Statement(database_, "INSERT INTO families (key, task, done, layout, settled) VALUES (?, ?, ?, ?, ?)")
      .bind(key)
      .bind(task)
      .bind(fmt::format("{}", fmt::join(family.done, "\n")))
      .bind(family.layout)
      .bind(family.settled)
      .step();
  Statement insert(database_,
                   "INSERT INTO variants (family, position, id, location, content, width, depth, resolution, "
                   "precision, bytes, accuracy, "
                   "accuracy_loss, median_ns, shapes, note, recipe, exits) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                   "?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const StoredVariant& v : family.variants) {
    insert.bind(key)
        .bind(position++)
        .bind(v.id)
        .bind(v.location)
        .bind(v.content)
        .bind(v.width)
        .bind(v.depth)
        .bind(v.resolution);
    insert.bind(v.precision)
        .bind(v.bytes)
        .bind(v.accuracy)
        .bind(v.accuracy_loss)
        .bind(static_cast<std::int64_t>(v.median.count()));
    insert.bind(shapes_text(v.shapes)).bind(v.note).bind(v.recipe).bind(exits_text(v.exits)).step();
    insert.rewind();
  }
  Statement refuse(database_, "INSERT INTO refused (family, position, reason) VALUES (?, ?, ?)");
  position = 0;
  for (const std::string& reason : family.refused) {
    refuse.bind(key).bind(position++).bind(reason).step();
    refuse.rewind();
  }
  transaction.commit();
}

std::vector<std::string> Store::locations_except(const std::vector<std::string>& keys) {
  std::vector<std::string> locations;
  Statement all(database_, "SELECT family, location FROM variants");
  while (all.step()) {
    if (std::find(keys.begin(), keys.end(), all.text(0)) == keys.end()) locations.push_back(all.text(1));
  }
  return locations;
}

std::optional<double> Store::accuracy(const std::string& key) {
  Statement query(database_, "SELECT accuracy FROM accuracies WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  return query.real(0);
}

void Store::put_accuracy(const std::string& key, double accuracy) {
  Statement(database_, "INSERT OR REPLACE INTO accuracies (key, accuracy) VALUES (?, ?)")
      .bind(key)
      .bind(accuracy)
      .step();
}

std::optional<StageTimes> Store::times(const std::string& key) {
  Statement query(
      database_,
      "SELECT alone_ns, busy_ns, stalls, stalls_of, stalls_worst_ns, memory, cores_used FROM times WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  StageTimes times;
  times.alone = durations(query.blob(0));
  times.busy = durations(query.blob(1));
  times.stalls = {query.integer(2), query.integer(3), Duration(query.integer(4))};
  times.memory = query.integer(5);
  times.cores_used = query.real(6);
  return times;
}

void Store::put_times(const std::string& key, const std::string& what, const StageTimes& times) {
  if (times.alone.size() + times.busy.size() > kMostSamples)
    throw Error(ErrorCode::internal, fmt::format("{}: {} samples; at most {} are stored", what,
                                                 times.alone.size() + times.busy.size(), kMostSamples));
  Statement(database_,
            "INSERT OR REPLACE INTO times (key, what, alone_ns, busy_ns, stalls, stalls_of, stalls_worst_ns, memory, "
            "cores_used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(key)
      .bind(what)
      .bind(counts(times.alone))
      .bind(counts(times.busy))
      .bind(times.stalls.count)
      .bind(times.stalls.of)
      .bind(static_cast<std::int64_t>(times.stalls.worst.count()))
      .bind(times.memory)
      .bind(times.cores_used)
      .step();
}

std::optional<StageEnergy> Store::energy(const std::string& key) {
  Statement query(database_, "SELECT joules, ns FROM energies WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  const StageEnergy energy{query.real(0), Duration(query.integer(1))};
  const bool sensible = energy.joules >= 0 && energy.joules < 1e6 && energy.lasts >= Duration{};
  return sensible ? std::optional(energy) : std::nullopt;  // else it is measured anew
}

void Store::put_energy(const std::string& key, const std::string& what, const StageEnergy& energy) {
  Statement(database_, "INSERT OR REPLACE INTO energies (key, what, joules, ns) VALUES (?, ?, ?, ?)")
      .bind(key)
      .bind(what)
      .bind(energy.joules)
      .bind(static_cast<std::int64_t>(energy.lasts.count()))
      .step();
}

std::optional<double> Store::slow_down(const std::string& key) {
  Statement query(database_, "SELECT factor FROM slow_downs WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  const double factor = query.real(0);
  return factor > 0 && factor < 1e3 ? std::optional(factor) : std::nullopt;  // else it is measured anew
}

void Store::put_slow_down(const std::string& key, const std::string& what, double factor) {
  Statement(database_, "INSERT OR REPLACE INTO slow_downs (key, what, factor) VALUES (?, ?, ?)")
      .bind(key)
      .bind(what)
      .bind(factor)
      .step();
}

std::optional<std::vector<std::vector<int>>> Store::segmentations(const std::string& key) {
  Statement query(database_, "SELECT places FROM cuts WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  std::vector<std::vector<int>> all;
  for (const std::string& line : lines(query.text(0))) {
    std::istringstream in(line);
    std::vector<int>& cuts = all.emplace_back();
    for (int node = 0; in >> node;) cuts.push_back(node);
    if (!in.eof() || cuts.empty()) return std::nullopt;  // not written by us: it is found out anew
  }
  return all;
}

void Store::put_segmentations(const std::string& key, const std::string& what,
                              const std::vector<std::vector<int>>& segmentations) {
  std::vector<std::string> places;
  for (const std::vector<int>& cuts : segmentations) places.push_back(fmt::format("{}", fmt::join(cuts, " ")));
  Statement(database_, "INSERT OR REPLACE INTO cuts (key, what, places) VALUES (?, ?, ?)")
      .bind(key)
      .bind(what)
      .bind(fmt::format("{}", fmt::join(places, "\n")))
      .step();
}

std::optional<std::vector<std::uint8_t>> Store::detections(const std::string& key) {
  Statement query(database_, "SELECT counts FROM detections WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  std::vector<std::uint8_t> counts;
  std::istringstream in(query.text(0));
  int boxes = 0;
  while (in >> boxes && boxes >= 0 && boxes <= 255) counts.push_back(static_cast<std::uint8_t>(boxes));
  if (!in.eof() || counts.empty()) return std::nullopt;  // not written by us: they are counted anew
  return counts;
}

void Store::put_detections(const std::string& key, const std::string& what, const std::vector<std::uint8_t>& counts) {
  Statement(database_, "INSERT OR REPLACE INTO detections (key, what, counts) VALUES (?, ?, ?)")
      .bind(key)
      .bind(what)
      .bind(fmt::format("{}", fmt::join(counts, " ")))
      .step();
}

std::optional<StoredRunTimes> Store::run_times(const std::string& key) {
  Statement query(database_, "SELECT what, stages, ns FROM run_times WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  StoredRunTimes times{key, query.text(0), {}};
  const std::int64_t stages = query.integer(1);
  const std::span<const std::int64_t> ns = query.blob(2);
  if (stages < 1 || ns.empty() || ns.size() % static_cast<std::size_t>(stages) != 0 ||
      std::any_of(ns.begin(), ns.end(), [](std::int64_t t) { return t < 0; }))
    bad_input(fmt::format("the correction of '{}' is damaged", times.what));
  const std::size_t jobs = ns.size() / static_cast<std::size_t>(stages);
  for (std::size_t at = 0; at < ns.size(); at += jobs) times.stages.push_back(durations(ns.subspan(at, jobs)));
  return times;
}

std::optional<StoredSpeed> Store::speed(const std::string& key) {
  Statement query(database_,
                  "SELECT what, factor, stages, dispatch_ns, dispatch_p90_ns, dispatches, moment_products, "
                  "moment_weights, moment_pairs FROM speeds WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  StoredSpeed speed{key,
                    query.text(0),
                    query.real(1),
                    query.integer(2),
                    Duration(query.integer(3)),
                    Duration(query.integer(4)),
                    query.integer(5),
                    query.real(6),
                    query.real(7),
                    query.integer(8)};
  if (!(speed.factor > 0 && speed.factor < 1e3) || speed.stages < 0 || speed.dispatches < 0 ||
      speed.dispatch < Duration::zero() || speed.dispatch > std::chrono::seconds(1) || speed.moment_pairs < 0 ||
      !std::isfinite(speed.moment_products) || !(speed.moment_weights >= 0 && std::isfinite(speed.moment_weights)))
    bad_input(fmt::format("the correction of '{}' is damaged", speed.what));
  return speed;
}

std::optional<StoredStalls> Store::stalls(const std::string& key) {
  Statement query(database_, "SELECT what, seconds, count, processors, ns FROM stalls WHERE key = ?");
  if (!query.bind(key).step()) return std::nullopt;
  StoredStalls stalls{key, query.text(0), query.real(1), query.real(2), {}};
  const std::int64_t processors = query.integer(3);
  const std::span<const std::int64_t> ns = query.blob(4);
  if (!(stalls.seconds >= 0 && stalls.seconds < 1e9) || !(stalls.count >= 0 && stalls.count < 1e9) || processors < 1 ||
      ns.size() % static_cast<std::size_t>(processors) != 0 ||
      std::any_of(ns.begin(), ns.end(), [](std::int64_t t) { return t < 0; }))
    bad_input(fmt::format("the correction of '{}' is damaged", stalls.what));
  for (std::size_t at = 0; at < ns.size(); at += static_cast<std::size_t>(processors))
    stalls.lasting.push_back(durations(ns.subspan(at, static_cast<std::size_t>(processors))));
  return stalls;
}

void Store::put_corrections(const std::vector<StoredRunTimes>& times, const std::vector<StoredSpeed>& speeds,
                            const std::vector<StoredStalls>& stalls) {
  Transaction transaction(database_);
  Statement run(database_, "INSERT OR REPLACE INTO run_times (key, what, stages, ns) VALUES (?, ?, ?, ?)");
  for (const StoredRunTimes& t : times) {
    std::vector<std::int64_t> ns;
    for (const auto& stage : t.stages)
      for (const Duration d : stage) ns.push_back(d.count());
    run.bind(t.key).bind(t.what).bind(static_cast<std::int64_t>(t.stages.size())).bind(ns).step();
    run.rewind();
  }
  Statement speed(database_,
                  "INSERT OR REPLACE INTO speeds (key, what, factor, stages, dispatch_ns, dispatch_p90_ns, dispatches, "
                  "moment_products, moment_weights, moment_pairs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (const StoredSpeed& s : speeds) {
    speed.bind(s.key).bind(s.what).bind(s.factor).bind(s.stages);
    speed.bind(static_cast<std::int64_t>(s.dispatch.count())).bind(static_cast<std::int64_t>(s.dispatch_p90.count()));
    speed.bind(s.dispatches).bind(s.moment_products).bind(s.moment_weights).bind(s.moment_pairs).step();
    speed.rewind();
  }
  Statement stall(
      database_, "INSERT OR REPLACE INTO stalls (key, what, seconds, count, processors, ns) VALUES (?, ?, ?, ?, ?, ?)");
  for (const StoredStalls& s : stalls) {
    std::vector<std::int64_t> ns;
    for (const auto& one : s.lasting)
      for (const Duration d : one) ns.push_back(d.count());
    stall.bind(s.key).bind(s.what).bind(s.seconds).bind(s.count);
    stall.bind(static_cast<std::int64_t>(s.lasting.empty() ? 1 : s.lasting.front().size())).bind(ns).step();
    stall.rewind();
  }
  transaction.commit();
}

}  // namespace rtmdl
