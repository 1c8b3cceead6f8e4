// AssignLicense on gSOAP and SQLite, one commit per request: what the Rust server is compared with.
// Usage: peer DBFILE PORT USER PASSWORD
//
// Threads: one per connection. They read and write XML side by side and take turns at the one database connection,
// whose page cache and prepared statements all of them share. See README.md in the folder above for the alternatives
// that were measured and lost.

#include "soapH.h"
#include "LicenseManagementService.nsmap"

#include <sqlite3.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>

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

/// A random version-4 UUID as text: the id that the audit row of a call carries.
std::string new_request_id() {
    thread_local std::mt19937_64 random{std::random_device{}()};
    const std::uint64_t high = (random() & ~0xf000ULL) | 0x4000ULL;
    const std::uint64_t low = (random() & ~(0xc0ULL << 56)) | (0x80ULL << 56);
    char text[37];
    std::snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(high >> 32),
                  static_cast<unsigned>(high >> 16 & 0xffff), static_cast<unsigned>(high & 0xffff),
                  static_cast<unsigned>(low >> 48), static_cast<unsigned long long>(low & 0xffffffffffffULL));
    return text;
}

// Both walk up from an entity to its root, which is short; walking down would visit the whole tree.
#define ABOVE "WITH RECURSIVE above (id, parent_id) AS (SELECT id, parent_id FROM entity WHERE id = ?1 " \
              "UNION SELECT entity.id, entity.parent_id FROM entity JOIN above ON entity.id = above.parent_id) "
#define NOW "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"

/// One database connection with its statements.
class Connection {
public:
    explicit Connection(const char *file) : handle_(file) {}
    sqlite3 *db() { return handle_.db; }

private:
    // First, so that it is closed after the statements are finalized.
    struct Handle {
        sqlite3 *db = nullptr;
        explicit Handle(const char *file) {
            // No mutex inside SQLite: at most one thread is in here at a time.
            if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK)
                fail("cannot open the database");
            sqlite3_busy_timeout(db, 5000);
            const char *settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                                   "PRAGMA cache_size = -16384;";
            if (sqlite3_exec(db, settings, nullptr, nullptr, nullptr) != SQLITE_OK)
                fail("cannot set up the database");
        }
        ~Handle() { sqlite3_close(db); }
        [[noreturn]] void fail(const char *what) {
            const std::string text = std::string(what) + ": " + sqlite3_errmsg(db);
            sqlite3_close(db);
            throw std::runtime_error(text);
        }
    };
    Handle handle_;

public:
    Statement begin{db(), "BEGIN IMMEDIATE"};
    Statement commit{db(), "COMMIT"};
    Statement rollback{db(), "ROLLBACK"};
    Statement credential{db(), "SELECT user_name, password_hash, role, active, entity_id FROM credential WHERE user_name = ?1"};
    Statement entity_is_usable{db(), ABOVE "SELECT 1 FROM entity WHERE id = ?1 AND active = 1 "
                                           "AND EXISTS (SELECT 1 FROM above WHERE id = ?2)"};
    Statement entity_is_below{db(), ABOVE "SELECT 1 FROM above WHERE id = ?2"};
    Statement account{db(), "SELECT id, active, entity_id FROM account WHERE username = ?1"};
    Statement holds_seat{db(), "SELECT 1 FROM seat JOIN license_pool ON license_pool.id = seat.pool_id "
                               "WHERE seat.account_id = ?1 AND seat.license_type = ?2 "
                               "AND (license_pool.expires_at IS NULL OR license_pool.expires_at > " NOW ")"};
    Statement pools{db(), "SELECT id FROM license_pool WHERE entity_id = ?1 AND license_type = ?2 "
                          "AND (starts_at IS NULL OR starts_at <= " NOW ") AND (expires_at IS NULL OR expires_at > " NOW ") "
                          "ORDER BY expires_at NULLS LAST, id"};
    // Without INDEXED BY the planner takes the primary key, and steps over every taken seat to find a free one.
    Statement free_seat{db(), "SELECT seat_no FROM seat INDEXED BY seat_free "
                              "WHERE pool_id = ?1 AND account_id IS NULL ORDER BY seat_no LIMIT 1"};
    Statement enrol{db(), "INSERT INTO account (username, entity_id) VALUES (?1, ?2)"};
    Statement take_seat{db(), "UPDATE seat SET account_id = ?1, last_call = ?2 WHERE pool_id = ?3 AND seat_no = ?4"};
};

/// The seat rules. Every call of assign() is one transaction and, if it takes a seat, one commit.
class Store {
public:
    /// `user` and `password` are taken as proven here, once: no argon2 per call. They count only as long as the row of
    /// that user keeps the hash it has now.
    Store(const char *file, const char *user, const char *password) : on_(file), password_(password) {
        Statement::Reset after(on_.credential);
        if (!on_.credential.bind(1, user).step())
            throw std::runtime_error(std::string("no credential named ") + user);
        user_ = on_.credential.text(0);
        hash_ = on_.credential.text(1);
    }

    Answer assign(const char *caller, const char *password, const char *username, int entity, const char *type) {
        const std::string id = new_request_id();
        const std::lock_guard<std::mutex> turn(turn_);
        on_.begin.run();
        try {
            const Answer answer = assign_in_transaction(id, caller, password, username, entity, type);
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
    Answer assign_in_transaction(const std::string &id, const char *caller, const char *password, const char *username,
                                 int entity, const char *type) {
        sqlite3_int64 rights_from;
        std::string last_call;
        {
            Statement::Reset after(on_.credential);
            if (!on_.credential.bind(1, caller).step() || !is_proven(password) || on_.credential.integer(3) != 1 ||
                std::strcmp(on_.credential.text(2), "reader") == 0)
                return kInvalidCredentials;
            rights_from = on_.credential.integer(4);
            last_call = id + ' ' + on_.credential.text(0);
        }
        if (*username == '\0')
            return kInvalidInput;
        if (!finds(on_.entity_is_usable.bind(1, entity).bind(2, rights_from)))
            return kEntityMismatch;

        sqlite3_int64 account = 0;
        {
            Statement::Reset after(on_.account);
            if (on_.account.bind(1, username).step()) {
                account = on_.account.integer(0);
                if (on_.account.integer(1) != 1 ||
                    !finds(on_.entity_is_below.bind(1, on_.account.integer(2)).bind(2, rights_from)))
                    return kEntityMismatch;
            }
        }
        if (account != 0 && finds(on_.holds_seat.bind(1, account).bind(2, type)))
            return kAlreadyExists;

        sqlite3_int64 pool = 0;
        sqlite3_int64 seat = 0;
        {
            Statement::Reset after(on_.pools);
            on_.pools.bind(1, entity).bind(2, type);
            while (seat == 0 && on_.pools.step()) {
                pool = on_.pools.integer(0);
                Statement::Reset after_seat(on_.free_seat);
                if (on_.free_seat.bind(1, pool).step())
                    seat = on_.free_seat.integer(0);
            }
        }
        if (pool == 0)
            return kNoPool;
        if (seat == 0)
            return kNoFreeSeat;

        if (account == 0) {
            on_.enrol.bind(1, username).bind(2, entity).run();
            account = sqlite3_last_insert_rowid(on_.db());
        }
        on_.take_seat.bind(1, account).bind(2, last_call.c_str()).bind(3, pool).bind(4, seat).run();
        return kSuccess;
    }

    bool is_proven(const char *password) const {
        return password_ == password && user_ == on_.credential.text(0) && hash_ == on_.credential.text(1);
    }

    static bool finds(Statement &statement) {
        Statement::Reset after(statement);
        return statement.step();
    }

    Connection on_;
    std::mutex turn_;
    std::string user_;
    std::string hash_;
    const std::string password_;
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
            or_empty(caller ? caller->UserName : nullptr), or_empty(caller ? caller->Password : nullptr),
            or_empty(request ? request->Username : nullptr), request ? request->LicenseProviderEntityId : 0,
            soap_ns__LicenseType2s(soap, request ? request->LicenseType : SkraftDiskImageV5));
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
    if (argc != 5) {
        std::fprintf(stderr, "usage: %s DBFILE PORT USER PASSWORD\n", argv[0]);
        return 2;
    }
    std::signal(SIGPIPE, SIG_IGN);
    try {
        Store store(argv[1], argv[3], argv[4]);
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
