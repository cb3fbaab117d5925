#pragma once
/// SQLite with owners for what it hands out, and errors that say what to do. Knows nothing of what is stored.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace rtmdl {

/// One open file. Throws Error(bad_input) on whatever SQLite refuses: a damaged file, a full disk, no permission. One
/// thread at a time.
class Database {
 public:
  /// Opens or creates. Several processes may have it open (write-ahead log, 10 s of patience for a writer).
  explicit Database(const std::filesystem::path& file);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const char* sql);
  [[nodiscard]] std::int64_t value(const char* sql);  ///< the first column of the first row
  [[noreturn]] void fail() const;                     ///< with SQLite's last error
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }
  [[nodiscard]] sqlite3* handle() const { return handle_; }

 private:
  std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
};

/// A prepared statement: bind in order, step, read in order.
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value);
  Statement& bind(double value);
  Statement& bind(std::string_view text);
  Statement& bind(std::span<const std::int64_t> blob);
  bool step();    ///< whether there is a row
  void rewind();  ///< ready to be bound again

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::span<const std::int64_t> blob(int column) const;  ///< until the next step()

 private:
  Database& database_;
  sqlite3_stmt* handle_ = nullptr;
  int bound_ = 0;
};

/// All or nothing: rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace rtmdl
