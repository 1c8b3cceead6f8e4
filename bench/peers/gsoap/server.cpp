// AssignLicense on gSOAP and SQLite, as lean as it can be: what the Rust server is compared with.
// Usage: peer DBFILE PORT [group]
//        peer make DBFILE USER PASSWORD POOLS SEATS TAKEN
//
// Its schema has users, seats and a counter for each pool, nothing else: no history, no guards, no expiry, no roles. A call is one
// transaction and one commit; with `group`, calls that wait at the same time share a commit. A thread per connection reads
// and writes XML; the threads take turns at the one database connection, with its prepared statements.

#include "soapH.h"
#include "LicenseManagementService.nsmap"

#include <sqlite3.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <vector>

namespace {

constexpr int kMaxThreads = 128;
constexpr int kIdleSeconds = 60;

/// What AssignLicense answers. Refusals are ordinary answers, not SOAP faults.
struct Answer {
    int result;
    const char *code;
    const char *message;
};

constexpr Answer kSuccess{0, "Success", ""};
constexpr Answer kInvalidInput{2, "InvalidInputParameters", "Username is required"};
constexpr Answer kInvalidCredentials{3, "InvalidSoapCredentials", "Invalid SOAP credentials"};
constexpr Answer kAlreadyExists{52, "AlreadyExists", "User has already been assigned a license of this type"};
constexpr Answer kEntityMismatch{53, "ObjectEntityMismatch",
                                 "Attempt to use inactive entity or entity not from your hierarchy"};
constexpr Answer kNoPool{1001, "NoLicensePool", "The entity has no license pool of this type"};
constexpr Answer kNoFreeSeat{1003, "NoFreeSeat", "No free seat is left"};

/// A prepared statement that is kept for the life of the process.
class Statement {
public:
    Statement(sqlite3 *db, const char *sql) {
        if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt_, nullptr) != SQLITE_OK)
            throw std::runtime_error(std::string(sqlite3_errmsg(db)) + " in " + sql);
    }
    ~Statement() { sqlite3_finalize(stmt_); }
    Statement(const Statement &) = delete;
    Statement &operator=(const Statement &) = delete;

    Statement &bind(int at, sqlite3_int64 value) {
        sqlite3_bind_int64(stmt_, at, value);
        return *this;
    }
    /// `value` must stay in place until the statement is reset.
    Statement &bind(int at, const char *value) {
        sqlite3_bind_text(stmt_, at, value, -1, SQLITE_STATIC);
        return *this;
    }
    /// True while there is a row. Anything but a row or the end is thrown.
    bool step() {
        const int rc = sqlite3_step(stmt_);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            throw std::runtime_error(sqlite3_errmsg(sqlite3_db_handle(stmt_)));
        return rc == SQLITE_ROW;
    }
    /// For statements without rows.
    void run() {
        Reset after(*this);
        step();
    }
    sqlite3_int64 integer(int column) const { return sqlite3_column_int64(stmt_, column); }
    const char *text(int column) const { return reinterpret_cast<const char *>(sqlite3_column_text(stmt_, column)); }

    /// Resets a statement at the end of the scope, also when something is thrown: a statement left in the middle
    /// would keep its transaction from committing.
    class Reset {
    public:
        explicit Reset(Statement &of) : of_(of) {}
        ~Reset() { sqlite3_reset(of_.stmt_); }

    private:
        Statement &of_;
    };

private:
    sqlite3_stmt *stmt_ = nullptr;
};

constexpr const char *kSchema = R"(
    CREATE TABLE credential (user_name TEXT PRIMARY KEY COLLATE NOCASE, password TEXT, entity_id INTEGER) WITHOUT ROWID;
    CREATE TABLE entity (id INTEGER PRIMARY KEY, parent_id INTEGER, active INTEGER);
    CREATE TABLE user (name TEXT PRIMARY KEY COLLATE NOCASE, entity_id INTEGER) WITHOUT ROWID;
    CREATE TABLE pool (entity_id INTEGER, license_type TEXT, seats INTEGER, taken INTEGER CHECK (taken <= seats),
                       PRIMARY KEY (entity_id, license_type)) WITHOUT ROWID;
    CREATE TABLE seat (user_name TEXT COLLATE NOCASE, license_type TEXT, entity_id INTEGER,
                       PRIMARY KEY (user_name, license_type)) WITHOUT ROWID;
)";

void execute(sqlite3 *db, const std::string &sql) {
    if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        throw std::runtime_error(std::string(sqlite3_errmsg(db)) + " in " + sql);
}

/// A database file, closed at the end.
struct Database {
    sqlite3 *db = nullptr;
    explicit Database(const char *file) {
        // No mutex inside SQLite: at most one thread is in here at a time.
        if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK)
            throw std::runtime_error(std::string("cannot open ") + file);
        execute(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;");
    }
    ~Database() { sqlite3_close(db); }
    Database(const Database &) = delete;
    Database &operator=(const Database &) = delete;
};

/// Entities 1 and, below it, one for each pool from 42 on; the first `taken` seats of each pool are taken.
void make(const char *file, const char *user, const char *password, int pools, int seats, int taken) {
    Database on(file);
    const auto number = [](int n) { return std::to_string(n); };
    execute(on.db, kSchema);
    execute(on.db, "BEGIN; INSERT INTO entity VALUES (1, NULL, 1);"
                   "INSERT INTO credential VALUES ('" + std::string(user) + "', '" + password + "', 1);"
                   "WITH RECURSIVE n (n) AS (SELECT 42 UNION ALL SELECT n + 1 FROM n WHERE n < " + number(41 + pools) + ")"
                   "INSERT INTO entity SELECT n, 1, 1 FROM n;"
                   "INSERT INTO pool SELECT id, 'SqlBackup', " + number(seats) + ", " + number(taken) + " FROM entity WHERE id > 1;");
    if (taken > 0)
        execute(on.db, "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < " + number(pools * taken - 1) + ")"
                       "INSERT INTO user SELECT printf('old-%08d', n), 42 + n % " + number(pools) + " FROM n;"
                       "INSERT INTO seat SELECT name, 'SqlBackup', entity_id FROM user;");
    execute(on.db, "COMMIT");
}

/// One database connection with its statements.
class Connection {
public:
    explicit Connection(const char *file) : database_(file) {}
    sqlite3 *db() { return database_.db; }

private:
    // First, so that it is closed after the statements are finalized.
    Database database_;

public:
    Statement begin{db(), "BEGIN IMMEDIATE"};
    Statement commit{db(), "COMMIT"};
    Statement rollback{db(), "ROLLBACK"};
    Statement credential{db(), "SELECT password, entity_id FROM credential WHERE user_name = ?1"};
    Statement entity{db(), "SELECT parent_id, active FROM entity WHERE id = ?1"};
    Statement user{db(), "SELECT entity_id FROM user WHERE name = ?1"};
    Statement holds_seat{db(), "SELECT 1 FROM seat WHERE user_name = ?1 AND license_type = ?2"};
    Statement pool{db(), "SELECT taken < seats FROM pool WHERE entity_id = ?1 AND license_type = ?2"};
    Statement enrol{db(), "INSERT INTO user VALUES (?1, ?2)"};
    Statement take{db(), "UPDATE pool SET taken = taken + 1 WHERE entity_id = ?1 AND license_type = ?2"};
    Statement seat{db(), "INSERT INTO seat VALUES (?1, ?2, ?3)"};
};

/// What a call asks for.
struct Call {
    const char *caller, *password, *username;
    int entity;
    const char *type;
};

/// The seat rules.
class Store {
public:
    /// `groups`: calls that wait at the same time share a commit.
    Store(const char *file, bool groups) : on_(file), groups_(groups) {}

    Answer assign(const Call &call) {
        if (groups_)
            return assign_in_group(call);
        const std::lock_guard<std::mutex> turn(turn_);
        on_.begin.run();
        try {
            const Answer answer = assign_in_transaction(call);
            // A refusal has written nothing.
            (answer.result == 0 ? on_.commit : on_.rollback).run();
            return answer;
        } catch (...) {
            if (!sqlite3_get_autocommit(on_.db()))
                on_.rollback.run();
            throw;
        }
    }

private:
    struct Waiting {
        const Call *call;
        Answer answer{};
        bool done = false, failed = false;
    };

    /// The first to come runs the calls of all who wait, commits once, and wakes them. A failure undoes the whole group.
    Answer assign_in_group(const Call &call) {
        Waiting mine{&call};
        std::unique_lock<std::mutex> lock(queue_);
        waiting_.push_back(&mine);
        answered_.wait(lock, [&] { return mine.done || !leading_; });
        if (!mine.done) {
            leading_ = true;
            std::vector<Waiting *> group;
            group.swap(waiting_);
            lock.unlock();
            try {
                on_.begin.run();
                for (Waiting *one : group)
                    one->answer = assign_in_transaction(*one->call);
                on_.commit.run();
            } catch (const std::exception &error) {
                std::fprintf(stderr, "peer: %s\n", error.what());
                if (!sqlite3_get_autocommit(on_.db()))
                    on_.rollback.run();
                for (Waiting *one : group)
                    one->failed = true;
            }
            lock.lock();
            leading_ = false;
            for (Waiting *one : group)
                one->done = true;
            answered_.notify_all();
        }
        if (mine.failed)
            throw std::runtime_error("the group failed");
        return mine.answer;
    }

    Answer assign_in_transaction(const Call &call) {
        sqlite3_int64 rights_from;
        {
            Statement::Reset after(on_.credential);
            if (!on_.credential.bind(1, call.caller).step() || std::strcmp(on_.credential.text(0), call.password) != 0)
                return kInvalidCredentials;
            rights_from = on_.credential.integer(1);
        }
        if (*call.username == '\0')
            return kInvalidInput;
        if (!is_usable(call.entity, rights_from))
            return kEntityMismatch;
        bool is_known;
        {
            Statement::Reset after(on_.user);
            is_known = on_.user.bind(1, call.username).step();
            if (is_known && !is_usable(on_.user.integer(0), rights_from))
                return kEntityMismatch;
        }
        if (is_known && finds(on_.holds_seat.bind(1, call.username).bind(2, call.type)))
            return kAlreadyExists;
        {
            Statement::Reset after(on_.pool);
            if (!on_.pool.bind(1, call.entity).bind(2, call.type).step())
                return kNoPool;
            if (on_.pool.integer(0) == 0)
                return kNoFreeSeat;
        }
        if (!is_known)
            on_.enrol.bind(1, call.username).bind(2, call.entity).run();
        on_.take.bind(1, call.entity).bind(2, call.type).run();
        on_.seat.bind(1, call.username).bind(2, call.type).bind(3, call.entity).run();
        return kSuccess;
    }

    /// Whether an entity is active and `root`, or somewhere below it.
    bool is_usable(sqlite3_int64 id, sqlite3_int64 root) {
        for (bool first = true;; first = false) {
            Statement::Reset after(on_.entity);
            if (!on_.entity.bind(1, id).step() || (first && on_.entity.integer(1) != 1))
                return false;
            if (id == root)
                return true;
            id = on_.entity.integer(0);
        }
    }

    static bool finds(Statement &statement) {
        Statement::Reset after(statement);
        return statement.step();
    }

    Connection on_;
    std::mutex turn_;
    const bool groups_;
    std::mutex queue_;
    std::condition_variable answered_;
    std::vector<Waiting *> waiting_;
    bool leading_ = false;
};

const char *or_empty(const char *text) { return text ? text : ""; }

/// Called by gSOAP between two requests of a connection. Without it the memory of every request would stay until the
/// connection closes.
int free_request(struct soap *soap) {
    soap_destroy(soap);
    soap_end(soap);
    return SOAP_OK;
}

std::counting_semaphore<kMaxThreads> free_threads{kMaxThreads};

void serve_connection(struct soap *soap) {
    const int on = 1;
    setsockopt(soap->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    soap_serve(soap);
    soap_destroy(soap);
    soap_end(soap);
    soap_free(soap);
    free_threads.release();
}

} // namespace

/// The operation, called by the code that soapcpp2 makes.
int ns__AssignLicense(struct soap *soap, ns__AssignLicenseRequest *request, ns__AssignLicenseResponse &response) {
    const ns__AuthHeader *caller = soap->header ? soap->header->ns__AuthHeader_ : nullptr;
    Answer answer = kInvalidInput;
    try {
        answer = static_cast<Store *>(soap->user)->assign(
            {or_empty(caller ? caller->UserName : nullptr), or_empty(caller ? caller->Password : nullptr),
             or_empty(request ? request->Username : nullptr), request ? request->LicenseProviderEntityId : 0,
             soap_ns__LicenseType2s(soap, request ? request->LicenseType : SkraftDiskImageV5)});
    } catch (const std::exception &error) {
        std::fprintf(stderr, "peer: %s\n", error.what());
        return soap_receiver_fault(soap, "The request could not be carried out", nullptr);
    }
    soap->header = nullptr; // or the answer would carry the caller's password back
    response.AssignLicenseResult = soap_new_ns__AssignLicenseResult(soap);
    response.AssignLicenseResult->Result = soap_new_ns__WebServiceResult(soap);
    response.AssignLicenseResult->Result->Result = answer.result;
    response.AssignLicenseResult->Result->Code = const_cast<char *>(answer.code);
    response.AssignLicenseResult->Result->Message = const_cast<char *>(answer.message);
    return SOAP_OK;
}

int main(int argc, char **argv) {
    const bool groups = argc == 4 && std::strcmp(argv[3], "group") == 0;
    if (argc != 3 && !groups && argc != 8) {
        std::fprintf(stderr, "usage: %s DBFILE PORT [group]\n       %s make DBFILE USER PASSWORD POOLS SEATS TAKEN\n", argv[0], argv[0]);
        return 2;
    }
    std::signal(SIGPIPE, SIG_IGN);
    try {
        if (argc == 8) {
            make(argv[2], argv[3], argv[4], std::atoi(argv[5]), std::atoi(argv[6]), std::atoi(argv[7]));
            return 0;
        }
        Store store(argv[1], groups);
        // XML_TREE: no id/href graphs in this contract, so none are looked for. UTFSTRING: char* holds UTF-8.
        struct soap *listener = soap_new1(SOAP_IO_KEEPALIVE | SOAP_XML_TREE | SOAP_C_UTFSTRING);
        listener->max_keep_alive = 0; // any number of requests on a connection
        listener->recv_timeout = listener->send_timeout = kIdleSeconds;
        listener->bind_flags = SO_REUSEADDR;
        listener->fserveloop = free_request;
        listener->user = &store;
        if (!soap_valid_socket(soap_bind(listener, "127.0.0.1", std::atoi(argv[2]), kMaxThreads))) {
            soap_print_fault(listener, stderr);
            return 1;
        }
        std::fprintf(stderr, "peer: SQLite %s, listening on 127.0.0.1:%s\n", sqlite3_libversion(), argv[2]);
        for (;;) {
            free_threads.acquire();
            if (!soap_valid_socket(soap_accept(listener))) {
                free_threads.release();
                if (listener->errnum == EINTR || listener->errnum == EMFILE || listener->errnum == ECONNABORTED)
                    continue;
                soap_print_fault(listener, stderr);
                return 1;
            }
            std::thread(serve_connection, soap_copy(listener)).detach();
        }
    } catch (const std::exception &error) {
        std::fprintf(stderr, "peer: %s\n", error.what());
        return 1;
    }
}
