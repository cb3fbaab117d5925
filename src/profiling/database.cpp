#include "profiling/database.h"

#include <rtmdl/error.h>

#include <chrono>

#include <fmt/format.h>
#include <sqlite3.h>

namespace rtmdl {
namespace {
constexpr auto kPatience = std::chrono::seconds(10);
}

Database::Database(const std::filesystem::path& file) : file_(file) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  try {
    if (sqlite3_open_v2(file.c_str(), &handle_, flags, nullptr) != SQLITE_OK) fail();
    sqlite3_busy_timeout(handle_, static_cast<int>(std::chrono::milliseconds(kPatience).count()));
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() { sqlite3_close(handle_); }

void Database::fail() const {
  const int code = handle_ ? sqlite3_errcode(handle_) : SQLITE_NOMEM;
  const std::string reason = handle_ ? sqlite3_errmsg(handle_) : "out of memory";
  const std::string name = file_.string();
  switch (code & 0xff) {
    case SQLITE_ERROR:  // a table or column is not what it should be
    case SQLITE_SCHEMA:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      bad_input(fmt::format("{}: damaged, or not a profile store ({}); delete it to measure anew", name, reason));
    case SQLITE_FULL:
    case SQLITE_IOERR:
      bad_input(fmt::format("{}: cannot write ({}); nothing was stored: free space on the disk and start again", name,
                            reason));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY: bad_input(fmt::format("{}: cannot open for writing ({})", name, reason));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      bad_input(fmt::format("{}: another rtmdl has been writing to it for {} s; end that one first", name,
                            kPatience.count()));
    default: throw Error(ErrorCode::internal, fmt::format("{}: {}", name, reason));
  }
}

void Database::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

std::int64_t Database::value(const char* sql) {
  Statement query(*this, sql);
  return query.step() ? query.integer(0) : 0;
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  if (sqlite3_prepare_v2(database.handle(), sql, -1, &handle_, nullptr) != SQLITE_OK) database.fail();
}

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement& Statement::bind(std::int64_t value) {
  if (sqlite3_bind_int64(handle_, ++bound_, value) != SQLITE_OK) database_.fail();
  return *this;
}

Statement& Statement::bind(double value) {
  if (sqlite3_bind_double(handle_, ++bound_, value) != SQLITE_OK) database_.fail();
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  if (sqlite3_bind_text(handle_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT) != SQLITE_OK)
    database_.fail();
  return *this;
}

Statement& Statement::bind(std::span<const std::int64_t> blob) {
  // A null pointer would be stored as NULL.
  const void* data = blob.empty() ? "" : static_cast<const void*>(blob.data());
  if (sqlite3_bind_blob(handle_, ++bound_, data, static_cast<int>(blob.size_bytes()), SQLITE_TRANSIENT) != SQLITE_OK)
    database_.fail();
  return *this;
}

bool Statement::step() {
  switch (sqlite3_step(handle_)) {
    case SQLITE_ROW: return true;
    case SQLITE_DONE: return false;
    default: database_.fail();
  }
}

void Statement::rewind() {
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
  bound_ = 0;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }
double Statement::real(int column) const { return sqlite3_column_double(handle_, column); }

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  return {text ? text : "", static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::span<const std::int64_t> Statement::blob(int column) const {
  const auto* data = static_cast<const std::int64_t*>(sqlite3_column_blob(handle_, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)) / sizeof(std::int64_t)};
}

Transaction::Transaction(Database& database) : database_(database) { database_.execute("BEGIN IMMEDIATE"); }

Transaction::~Transaction() {
  // On a full disk SQLite may have rolled back by itself; then this is refused, as it should be.
  if (open_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace rtmdl
